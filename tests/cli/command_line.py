"""Runs commands of the command line against a cluster of one folder, for the tests of this room."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from muskox.cli import main

SECONDS_MAX = 120


@dataclass(frozen=True)
class Muskox:
    """Runs commands against the cluster of one folder."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("MUSKOX_ZK", "MUSKOX_SECRET_FILE")}
        return {**kept, "MUSKOX_DIR": str(self.folder), "COLUMNS": "120"}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "muskox", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)

    def spawn(self, *words: str, code: int = 0) -> tuple[str, str]:
        """Run a command in a process of its own."""
        process = self.start(*words)
        out, err = process.communicate(timeout=SECONDS_MAX)
        assert process.returncode == code, err or out
        assert "Traceback" not in err
        return out, err

    def run(self, *words: str, code: int = 0) -> tuple[str, str]:
        """Run a command in this process, see that it exits with `code`, and return what it said on stdout and stderr."""
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.dict(os.environ, self.environment, clear=True), redirect_stdout(out), redirect_stderr(err):
            with pytest.raises(SystemExit) as ended:
                main(words)
        assert (ended.value.code or 0) == code, err.getvalue() or out.getvalue()
        return out.getvalue(), err.getvalue()

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json")[0])

    def refused(self, *words: str) -> str:
        """Run a command that must fail, and return its one sentence."""
        out, err = self.run(*words, code=1)
        assert not out
        sentences = [line for line in err.splitlines() if line.startswith("muskox: ")]
        assert len(sentences) == 1
        return sentences[0]
