"""A pytest plugin for kazoo's own suite: where its harness would start Apache ZooKeeper, a keeper is started.

The suite reaches servers only through the name `ZookeeperCluster` in `kazoo.testing.harness`. A cluster here is one server,
as it was when `passes_on_apache.txt` was made. pytest loads this before kazoo's tests, as `-p keeper_cluster`.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# kazoo makes key stores for Java with these; the classes below, which do not, take the place of all that uses them.
for absent in ("jks", "OpenSSL"):
    sys.modules.setdefault(absent, types.ModuleType(absent))

from kazoo.testing import harness  # noqa: E402  # what it imports comes first

from muskox.keeper import Keeper  # noqa: E402

# Below the ports that the system gives to connections: else a client that tries a stopped server's port again and again may
# once be given that very port, and is connected to itself.
PORTS = range(15_000, 32_000)
CERTIFICATES = """
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca.kazoo.org -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
openssl x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -set_serial 2 -out server.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=client -keyout client.key -out client.csr
openssl x509 -req -days 2 -in client.csr -CA ca.pem -CAkey ca.key -set_serial 3 -out client.pem
"""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at, others for each process."""
    free: list[int] = []
    start = os.getpid() * 16 % len(PORTS)
    for offset in range(len(PORTS)):
        port = PORTS[(start + offset) % len(PORTS)]
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                free.append(port)
        if len(free) == count:
            return free
    raise AssertionError("no port is free")


class Server:
    """One keeper under the names by which kazoo's tests handle a server."""

    def __init__(self, folder: Path, properties: list[str], users: str | None) -> None:
        self.client_port, self.secure_client_port = free_ports(2)
        self.address = f"127.0.0.1:{self.client_port}"
        self.secure_address = f"127.0.0.1:{self.secure_client_port}"
        self.folder = folder
        self.running = False
        self.keeper = Keeper(self.client_port, folder / "data", **self.settings(properties, users))

    def settings(self, properties: list[str], users: str | None) -> dict[str, Any]:
        settings: dict[str, Any] = {"four_letter_words": "all", "max_client_connections": 0}
        settings |= {"secure_client_port": self.secure_client_port, "client_auth": "need"}
        settings |= {
            "tls_cert": self.folder / "server.pem",
            "tls_key": self.folder / "server.key",
            "tls_ca": self.folder / "ca.pem",
        }
        for word in properties:
            name, _, value = word.partition("=")
            if name == "-Dzookeeper.DigestAuthenticationProvider.superDigest":
                settings["super_digest"] = value
        if users is not None:
            users_file = self.folder / "jaas.conf"
            users_file.touch(mode=0o600)
            users_file.write_text(users, encoding="utf-8")
            settings["users_file"] = users_file
        return settings

    def run(self) -> None:
        if not self.running:
            self.keeper.start()
            self.running = True

    def stop(self) -> None:
        if self.running:
            self.keeper.stop()
            self.running = False


class KeeperCluster:
    """What `kazoo.testing.harness` knows of a cluster."""

    def __init__(self, **how: Any) -> None:
        self.temporary = tempfile.TemporaryDirectory(prefix="kazoo-suite-")
        self.folder = Path(self.temporary.name)
        subprocess.run(["sh", "-e", "-c", CERTIFICATES], cwd=self.folder, check=True, capture_output=True)
        self.servers = [self.new_server(how)]

    def new_server(self, how: dict[str, Any]) -> Server:
        return Server(self.folder, how["java_system_properties"], how["jaas_config"])

    def __getitem__(self, index: int) -> Server:
        return self.servers[index]

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def start(self) -> None:
        for server in self.servers:
            server.run()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def terminate(self) -> None:
        """Stop all and drop their data; they may be started again."""
        self.stop()
        for server in self.servers:
            shutil.rmtree(server.folder / "data", ignore_errors=True)

    def get_logs(self) -> list[str]:
        return [(server.keeper.data_dir / "keeper.out").read_text(encoding="utf-8") for server in self.servers]

    def get_ssl_client_configuration(self) -> dict[str, bytes]:
        files = {"client_key": "client.key", "client_cert": "client.pem", "ca_cert": "ca.pem"}
        return {name: (self.folder / file).read_bytes() for name, file in files.items()}


os.environ |= {"ZOOKEEPER_VERSION": "3.8.0", "ZOOKEEPER_CLUSTER_SIZE": "1"}  # what the suite is told it runs on
harness.ZookeeperCluster = KeeperCluster
