"""Apache ZooKeeper, run beside our keeper: one server, or an ensemble of three, on free ports and temporary folders.

It needs Java and Apache's jars, as Debian's package `zookeeper` installs them; `is_installed` tells, and `REASON` is the
sentence to skip with. Servers are stopped by their process number.
"""

import atexit
import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

JARS = Path("/usr/share/java")
CLASS_PATH = ("zookeeper.jar", "servlet-api.jar", "jetty9-util-ajax.jar")  # the last two are what the AdminServer needs
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
REASON = "Apache ZooKeeper is not installed: needs java and Debian's package zookeeper"
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
QUICK_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # starts sooner, runs slower: for tests, not for a bench
POLL_SECONDS = 0.02


def is_installed() -> bool:
    return shutil.which("java") is not None and (JARS / "zookeeper.jar").exists()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def four_letters(port: int, word: str, seconds: float = 2.0) -> str:
    """Return what the server at `port` says to a four-letter word; nothing if it says nothing."""
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as sock:
            sock.sendall(word.encode())
            return b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    except OSError:
        return ""


class Apache:
    """One Apache server. `settings` are lines of zoo.cfg beside the common ones, `properties` and `flags` are Java's."""

    def __init__(
        self,
        data_dir: Path | None = None,
        settings: dict[str, object] | None = None,
        properties: dict[str, str] | None = None,
        port: int | None = None,
        flags: tuple[str, ...] = QUICK_JVM,
    ) -> None:
        self.flags = flags
        self.port = free_ports(1)[0] if port is None else port
        self.temporary = tempfile.TemporaryDirectory(prefix="apache-zookeeper-")
        self.folder = Path(self.temporary.name)
        self.data_dir = self.folder / "data" if data_dir is None else data_dir
        self.settings = settings or {}
        self.properties = {"zookeeper.admin.enableServer": "false", **(properties or {})}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def hosts(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def mode(self) -> str:
        """The server's part, "standalone", "leader" or "follower"; empty while it serves nobody."""
        match = re.search(r"Mode: (\w+)", four_letters(self.port, "srvr"))
        return match[1] if match else ""

    def launch(self) -> None:
        """Start the process without waiting for it."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        config = self.folder / "zoo.cfg"
        settings = {
            "tickTime": 2000,
            "dataDir": self.data_dir,
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "4lw.commands.whitelist": "*",
            **self.settings,
        }
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")
        words = ["java", *self.flags, "-cp", ":".join(str(JARS / name) for name in CLASS_PATH)]
        words += [f"-D{key}={value}" for key, value in self.properties.items()]
        with (self.folder / "said").open("ab") as said:
            atexit.register(self.kill)  # it must not outlive the tests, even if nobody stops it
            self.process = subprocess.Popen([*words, MAIN, str(config)], stdout=said, stderr=said, cwd=self.folder)

    def start(self) -> "Apache":
        """Start it and wait until it serves; one that does not is stopped."""
        try:
            self.launch()
            self.await_mode()
        except BaseException:  # bulkhead: whatever went wrong, no server may outlive it
            self.kill()
            raise
        return self

    def await_mode(self) -> str:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not (mode := self.mode):
            assert self.process is not None and self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, f"Apache did not serve in {START_SECONDS_MAX} s: {self.said()}"
            time.sleep(POLL_SECONDS)
        return mode

    def said(self) -> str:
        return (self.folder / "said").read_text(encoding="utf-8", errors="replace")[-3000:]

    def end(self, is_gentle: bool) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            if is_gentle:
                self.process.terminate()
            else:
                self.process.kill()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        atexit.unregister(self.kill)

    def kill(self) -> None:
        """Kill it as ``kill -9`` does; its data stay."""
        self.end(is_gentle=False)

    def stop(self) -> None:
        """Stop it and drop its temporary folder."""
        self.end(is_gentle=True)
        self.temporary.cleanup()

    def __enter__(self) -> "Apache":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class Ensemble:
    """Several Apache servers that replicate each other."""

    def __init__(self, count: int = 3, settings: dict[str, object] | None = None) -> None:
        ports = free_ports(3 * count)
        members = {
            f"server.{index + 1}": f"127.0.0.1:{ports[3 * index]}:{ports[3 * index + 1]}:participant" for index in range(count)
        }
        common: dict[str, object] = {"initLimit": 10, "syncLimit": 5, **members, **(settings or {})}
        self.servers = [Apache(settings=common, port=ports[3 * index + 2]) for index in range(count)]

    @property
    def hosts(self) -> str:
        return ",".join(server.hosts for server in self.servers)

    def start(self) -> "Ensemble":
        """Start all and wait until each serves; if one does not, all are stopped."""
        try:
            for index, server in enumerate(self.servers):
                server.data_dir.mkdir(parents=True, exist_ok=True)
                (server.data_dir / "myid").write_text(f"{index + 1}\n", encoding="utf-8")
                server.launch()
            for server in self.servers:
                server.await_mode()
        except BaseException:  # bulkhead: whatever went wrong, no server may outlive it
            self.stop()
            raise
        return self

    def leader(self) -> int:
        """Return the index of the leader, once there is one."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            for index, server in enumerate(self.servers):
                if server.process is not None and server.mode == "leader":
                    return index
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"no server leads after {START_SECONDS_MAX} s")

    def kill(self, index: int) -> None:
        self.servers[index].kill()

    def restart(self, index: int) -> None:
        """Start a killed server again, on its data."""
        self.servers[index].start()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def __enter__(self) -> "Ensemble":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
