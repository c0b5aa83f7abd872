"""Run inside the network namespace of one of two hosts: a keeper behind TLS, a node on each host, a fit, a cut.

two_hosts.py FOLDER FLIGHTS   prints the digests of an undisturbed fit and of one whose second host was cut off
"""

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
from killing import estimator, until
from whole_path_data import BY, SHARDS, TARGET

import muskox as mx
from muskox.coordination import make_secret, tls_from_environment

HOSTS = {"a": "10.77.0.1", "b": "10.77.0.2"}
SECURE_PORT = 2281


class TlsFront(threading.Thread):
    """TLS before a keeper that listens on loopback: who shows a certificate of the authority is let through."""

    def __init__(self, folder: Path, keeper: mx.Keeper) -> None:
        super().__init__(daemon=True)
        self.keeper_port = keeper.port
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "ca.pem"))
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_cert_chain(folder / "node.pem", folder / "node.key")
        self.listens = threading.Event()

    def run(self) -> None:
        asyncio.run(self.serve())

    async def serve(self) -> None:
        server = await asyncio.start_server(self.join, HOSTS["a"], SECURE_PORT, ssl=self.context)
        self.listens.set()
        await server.serve_forever()

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.keeper_port)
        await asyncio.gather(pour(reader, ours), pour(theirs, writer))


async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            sink.write(data)
    sink.close()


def start_node(folder: Path, host: str, url: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "muskox", "node", "--zk", url, "--secret-file", str(folder / "secret")]
    command += ["--name", f"host-{host}", "--dir", str(folder / host), "--host", HOSTS[host]]
    command += [
        "--tls-cert",
        str(folder / "node.pem"),
        "--tls-key",
        str(folder / "node.key"),
        "--tls-ca",
        str(folder / "ca.pem"),
    ]
    with (folder / f"{host}.log").open("wb") as log:
        return subprocess.Popen(["ip", "netns", "exec", f"muskox-{host}", *command], stdout=log, stderr=log)


def main(folder: Path, flights: Path) -> None:
    make_secret(folder / "secret")
    os.environ.update(
        MUSKOX_TLS_CERT=str(folder / "node.pem"), MUSKOX_TLS_KEY=str(folder / "node.key"), MUSKOX_TLS_CA=str(folder / "ca.pem")
    )
    url = f"zk://{HOSTS['a']}:{SECURE_PORT}/muskox"
    with mx.Keeper() as keeper:
        front = TlsFront(folder, keeper)
        front.start()
        assert front.listens.wait(10)
        nodes = [start_node(folder, host, url) for host in HOSTS]
        try:
            with mx.Cluster(url, (folder / "secret").read_bytes().strip(), tls=tls_from_environment()) as cluster:
                train_and_cut(cluster, flights)
        finally:
            for node in nodes:
                node.terminate()
            for node in nodes:
                node.wait(20)


def train_and_cut(cluster: mx.Cluster, flights: Path) -> None:
    until(lambda: len(cluster.status()["nodes"]) == len(HOSTS), "both nodes joining", 60)
    cluster.set_config("silence_s", 1)
    dataset = cluster.put("flights", pa.ipc.open_file(str(flights)).read_all(), shards=SHARDS, by=BY, replicas=2)
    print(estimator().fit(dataset, target=TARGET).digest_, flush=True)
    cut = []

    def cut_once(report: mx.RoundReport) -> None:
        if report.round >= 10 and not cut:
            subprocess.run(["ip", "-n", "muskox-b", "link", "set", "muskox-vb", "down"], check=True)
            cut.append(report.round)

    print(estimator().fit(dataset, target=TARGET, on_round=cut_once).digest_, flush=True)
    assert cut
    subprocess.run(["ip", "-n", "muskox-b", "link", "set", "muskox-vb", "up"], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
