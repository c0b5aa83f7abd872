"""The load generator as a program: compiled from zkload.c into a folder of the bench's own, or zkload.py without a compiler.

A generator in Python steals the core that the server needs, so figures taken with it say more about the generator.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COMPILERS = ("cc", "gcc", "clang")
RUN_SECONDS_MAX = 600.0

Phase = dict[str, Any]


class Generator:
    """Runs phases against a server; see zkload.c for what they are and what they tell."""

    def __init__(self, folder: Path, wants_c: bool = True) -> None:
        compiler = next((name for name in COMPILERS if shutil.which(name)), None) if wants_c else None
        self.language = "Python" if compiler is None else "C"
        self.command = [sys.executable, str(HERE / "zkload.py")]
        if compiler is not None:
            program = folder / "zkload"
            subprocess.run([compiler, "-O2", "-o", str(program), str(HERE / "zkload.c")], check=True)
            self.command = [str(program)]

    def run(self, port: int, *phases: str, **options: float) -> list[Phase]:
        """Run phases and return what each told. Options: those of zkload.c, by their letters."""
        ended = subprocess.run(
            [*self.command, *self.words(port, phases, options)],
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
        if ended.returncode:
            sys.exit(f"the load generator, asked for {' '.join(phases)} at port {port}, says: {ended.stderr.strip()}")
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def begin(self, port: int, phase: str, **options: float) -> "Running":
        """Start a phase that runs until it is ended."""
        return Running([*self.command, "-e", *self.words(port, (phase,), options)])

    def words(self, port: int, phases: tuple[str, ...], options: dict[str, float]) -> list[str]:
        return [*(word for name, value in options.items() for word in (f"-{name}", str(value))), str(port), *phases]


class Running:
    """A phase under way."""

    def __init__(self, words: list[str]) -> None:
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self) -> Phase:
        said, complaint = self.process.communicate(timeout=RUN_SECONDS_MAX)
        if self.process.returncode:
            sys.exit(f"the load generator says: {complaint.strip()}")
        return json.loads(said.splitlines()[-1])
