"""Two hosts, as network namespaces: TLS on every plane, a fit over both, and a cable that is pulled in the middle of one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

SCRIPT = Path(__file__).with_name("two_hosts.py")
SETUP = """
ip netns add muskox-a
ip netns add muskox-b
ip link add muskox-va netns muskox-a type veth peer name muskox-vb netns muskox-b
ip -n muskox-a addr add 10.77.0.1/24 dev muskox-va
ip -n muskox-b addr add 10.77.0.2/24 dev muskox-vb
ip -n muskox-a link set muskox-va up
ip -n muskox-b link set muskox-vb up
ip -n muskox-a link set lo up
ip -n muskox-b link set lo up
"""
CERTIFICATES = """
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem
openssl req -newkey rsa:2048 -nodes -subj /CN=node -keyout node.key -out node.csr
openssl x509 -req -days 2 -in node.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san.txt -out node.pem
"""


def run_lines(lines: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-e", "-c", lines], capture_output=True, text=True, check=False, **options)


def remove_hosts() -> None:
    for name in ("muskox-a", "muskox-b"):
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


@pytest.fixture
def hosts() -> Iterator[None]:
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and iproute2")
    remove_hosts()
    made = run_lines(SETUP)
    try:
        if made.returncode:
            pytest.skip(f"no network namespaces here: {made.stderr.strip()}")
        yield
    finally:
        remove_hosts()


@pytest.fixture
def certificates(tmp_path) -> Path:
    (tmp_path / "san.txt").write_text("subjectAltName=IP:10.77.0.1,IP:10.77.0.2\n")
    made = run_lines(CERTIFICATES, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (tmp_path / "both.pem").write_text((tmp_path / "node.key").read_text() + (tmp_path / "node.pem").read_text())
    return tmp_path


def test_a_host_that_is_cut_off_changes_no_bit(hosts, certificates, flights, expected) -> None:
    path = certificates / "flights.arrow"
    with pa.ipc.new_file(str(path), flights.schema) as writer:
        writer.write_table(flights)
    command = ["ip", "netns", "exec", "muskox-a", sys.executable, str(SCRIPT), str(certificates), str(path)]
    paths = os.pathsep.join([str(SCRIPT.parent), str(SCRIPT.parent.parent)])
    environment = {**os.environ, "PYTHONPATH": paths}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    logs = "\n".join(log.read_text(errors="replace")[-3000:] for log in sorted(certificates.glob("?.log")))
    assert ended.returncode == 0, ended.stderr + logs
    assert ended.stdout.split() == [expected, expected], logs
