"""A real cluster of two nodes, started and ended by the command line, for the tests that need one."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from muskox.cli import main

SECONDS_MAX = 120
ROWS = 6_000


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


@pytest.fixture(scope="session")
def table() -> Any:
    rng = np.random.default_rng(5)
    amount, city = rng.normal(2.0, 3.0, ROWS), rng.choice(["Oslo", "Rome"], ROWS)
    late = amount + 2.0 * (city == "Rome") + rng.normal(0.0, 2.0, ROWS) > 2.0
    holes = rng.random(ROWS) < 0.1
    return pa.table({"key": np.arange(ROWS), "amount": pa.array(amount, mask=holes), "city": city.tolist(), "late": late})


@pytest.fixture(scope="session")
def muskox(tmp_path_factory: pytest.TempPathFactory, table: Any) -> Iterator[Muskox]:
    """A cluster with the dataset "rides" and the model "late"."""
    folder = tmp_path_factory.mktemp("cluster")
    muskox = Muskox(folder / "home")
    file = folder / "rides.csv"
    pyarrow.csv.write_csv(table, file)
    try:
        assert "2 nodes run at zk://" in muskox.spawn("up", "--nodes", "2")[0]
        muskox.spawn("put", "rides", str(file), "--by", "hash:key", "--shards", "4")
        muskox.spawn("train", "logistic", "rides", "--target", "late", "--features", "amount,city", "--name", "late")
        yield muskox
    finally:
        muskox.spawn("down")
