"""Stores for tests: nodes on threads or in processes of their own, registered in a chroot of their own."""

import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from muskox.coordination import Plane, Session, derive, layout, register
from muskox.store import BlobStore, Dataset, NodeHome, PutOptions, StoreClient, StoreServer, open_dataset, put_dataset

SECRET = b"a secret of sixty-four characters, more or less, for these tests"
KEY = derive(SECRET, Plane.FLIGHT)

NODE = """
import signal, sys
from pathlib import Path
from muskox.store import BlobStore, StoreServer
server = StoreServer(BlobStore(Path(sys.argv[1])), key=bytes.fromhex(sys.argv[2])).start()
print(server.address, flush=True)
sys.stdin.read()
"""


class NodeProcess:
    """A store in a process of its own, that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NODE, str(folder), KEY.hex()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class StoreCluster:
    """A session, a client, and nodes by name."""

    def __init__(self, hosts: str, folder: Path) -> None:
        self.folder = folder
        self.url = f"zk://{hosts}/store-{uuid.uuid4().hex}"
        self.session = Session(self.url, SECRET)
        self.client = StoreClient(KEY)
        self.home = NodeHome(self.session, self.client)
        self.servers: dict[str, StoreServer] = {}
        self.processes: dict[str, NodeProcess] = {}

    def __enter__(self) -> "StoreCluster":
        self.session.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for server in self.servers.values():
            server.stop()
        for process in self.processes.values():
            process.stop()
        self.session.close()

    def blobs(self, name: str) -> BlobStore:
        return BlobStore(self.folder / name)

    def add_node(self, name: str) -> None:
        self.servers[name] = StoreServer(self.blobs(name), key=KEY).start()
        self.enlist(name, self.servers[name].address)

    def add_process(self, name: str) -> NodeProcess:
        self.processes[name] = NodeProcess(self.folder / name)
        self.enlist(name, self.processes[name].address)
        return self.processes[name]

    def stop_node(self, name: str) -> None:
        """Stop the node's service; its membership stays, as after a death that nobody has noticed."""
        self.servers.pop(name).stop()

    def enlist(self, name: str, address: str) -> None:
        record = layout.MemberRecord(
            name=name, folder_id=name, incarnation=address, address=address, pid=0, cores=1, fingerprint=""
        )
        register(self.session, record)

    def delist(self, name: str) -> None:
        self.session.delete(layout.member(name))

    def put(self, name: str, data: Any, **options: Any) -> int:
        return put_dataset(self.home, name, data, PutOptions(**options))

    def open(self, name: str, version: int | None = None) -> Dataset:
        return open_dataset(self.home, name, version)
