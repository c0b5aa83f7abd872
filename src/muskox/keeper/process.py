"""A keeper as a process of its own, started from Python: ``with Keeper() as keeper: KazooClient(keeper.hosts)``."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from muskox.errors import CallerError, Unavailable
from muskox.keeper.server.flags import FLAGS

LOG_NAME = "keeper.out"  # what the process says, in its data folder
STOP_SECONDS_MAX = 10.0
TAIL_BYTES = 2_000
OWN_FLAGS = ("--data-dir", "--client-port", "--host")  # arguments of Keeper itself
SETTINGS = {flag.word: flag for flag in FLAGS if flag.name not in OWN_FLAGS}
Setting = int | str | bool | Path


class Keeper:
    """A coordination server on this machine that any ZooKeeper client can use.

    It is a process in a session of its own, so that Ctrl-C does not reach it, and it ends with the Python process that
    started it.

    Parameters
    ----------
    port : the port for clients; 0 takes a free one and keeps it over restarts
    data_dir : where its log and snapshots lie; None takes a temporary folder that goes with :meth:`stop`
    host : the address to listen at
    **settings : any other flag of the command line, as ``tick_ms=500``, ``four_letter_words="all"``, ``enforce_quota=True``,
        ``max_client_connections=0`` (from one address; Apache's 60 holds otherwise), ``tls_cert=path``

    Raises
    ------
    CallerError
        If a setting has another name.

    Examples
    --------
    >>> from kazoo.client import KazooClient
    >>> with Keeper() as keeper:
    ...     client = KazooClient(keeper.hosts)
    ...     client.start()
    ...     path = client.create("/hello", b"world")
    ...     client.stop()
    ...     client.close()
    >>> path
    '/hello'
    """

    def __init__(
        self, port: int = 0, data_dir: str | Path | None = None, host: str = "127.0.0.1", **settings: Setting | None
    ) -> None:
        for name in settings:
            if name not in SETTINGS:
                raise CallerError(f"a keeper has no setting {name!r}; {nearest(name)}")
        self.host = host
        self.settings = {name: value for name, value in settings.items() if value is not None}
        self.wanted_port = port
        self.folder = None if data_dir is None else Path(data_dir)
        self.temporary: tempfile.TemporaryDirectory[str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.lifeline = -1

    @property
    def port(self) -> int:
        """The port for clients; 0 before the first start if any was wanted."""
        return self.wanted_port

    @property
    def hosts(self) -> str:
        """What a client connects to, "127.0.0.1:2181"."""
        return f"{self.host}:{self.wanted_port}"

    @property
    def pid(self) -> int:
        """The number of the process.

        Raises
        ------
        CallerError
            If it was not started.
        """
        if self.process is None:
            raise CallerError("the keeper was not started")
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def data_dir(self) -> Path:
        """Where its files lie; made on first use if none was given."""
        if self.folder is None:
            self.temporary = tempfile.TemporaryDirectory(prefix="muskox-keeper-")
            self.folder = Path(self.temporary.name)
        return self.folder

    def start(self) -> "Keeper":
        """Start the process and return once it serves; after :meth:`kill` or a crash, on the same port and data.

        Raises
        ------
        CallerError
            If it runs already.
        Unavailable
            If it does not come up: the message ends with what the process said.
        """
        if self.is_running:
            raise CallerError(f"the keeper runs already, with pid {self.pid}")
        self.release()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lifeline_end, self.lifeline = os.pipe()
        ready, ready_end = os.pipe()
        environment = os.environ | {"MUSKOX_LIFELINE_FD": str(lifeline_end), "MUSKOX_READY_FD": str(ready_end)}
        try:
            with (self.data_dir / LOG_NAME).open("ab") as said:
                self.process = subprocess.Popen(  # the handle is kept: stop and kill wait for it
                    self.command(),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    env=environment,
                    pass_fds=(lifeline_end, ready_end),
                    start_new_session=True,
                )
        finally:
            os.close(lifeline_end)
            os.close(ready_end)
        self.wanted_port = self.await_port(ready)
        return self

    def command(self) -> list[str]:
        words = [*python(), "-m", "muskox.keeper", "--data-dir", str(self.data_dir)]
        words += ["--client-port", str(self.wanted_port), "--host", self.host]
        return [*words, *(SETTINGS[name].said(value) for name, value in self.settings.items())]

    def await_port(self, ready: int) -> int:
        """Return the port that the process tells; it closes the pipe when it dies, so this needs no clock."""
        with os.fdopen(ready, "rb") as pipe:
            told = pipe.readline()
        if told:
            return int(told)
        status = self.await_end()
        tail = (self.data_dir / LOG_NAME).read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace").strip()
        raise Unavailable(
            f"the keeper did not start (exit status {status}): {tail.splitlines()[-1] if tail else 'it said nothing'}"
        )

    def stop(self) -> None:
        """Stop it as SIGTERM does, and drop its folder if it was temporary. Stopping twice is fine."""
        if self.process is not None and self.is_running:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()
        self.release()
        if self.temporary is not None:
            self.temporary.cleanup()
            self.temporary, self.folder = None, None

    def kill(self) -> None:
        """Kill it as ``kill -9`` does; its data stay, and :meth:`start` goes on from them."""
        if self.process is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
        self.await_end()
        self.release()

    def await_end(self) -> int | None:
        return None if self.process is None else self.process.wait()

    def release(self) -> None:
        if self.lifeline != -1:
            os.close(self.lifeline)
            self.lifeline = -1

    def __enter__(self) -> "Keeper":
        return self if self.is_running else self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def python() -> list[str]:
    """Return how to start a Python that, like this one, takes no modules from the working folder, unless this one does."""
    return [sys.executable, *([] if {"", str(Path.cwd())} & set(sys.path) else ["-P"])]


def nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, SETTINGS, 1)
    return f"did you mean {near[0]}?" if near else f"it has {', '.join(SETTINGS)}"
