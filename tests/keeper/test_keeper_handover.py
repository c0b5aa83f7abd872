"""Handing a folder over: what must be done first is told, and Apache starts by the very zoo.cfg that is printed."""

from dataclasses import replace
from pathlib import Path

import pytest
from apache import REASON, Apache, free_ports, is_installed
from kazoo.client import KazooClient
from raw import OPEN, RawClient, request

from muskox.errors import CallerError
from muskox.keeper import Keeper, plan_handover
from muskox.keeper.disk.inspect import FileKind, FileReport, State
from muskox.keeper.handover import blocks, configuration
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateTtlRequest

PERSISTENT_WITH_TTL = 5
TTL_MS = 3_600_000


def fill(keeper: Keeper) -> None:
    with RawClient(keeper.port) as client:
        client.connect()
        assert client.create("/a", b"kept").err == 0
        client.send(request(99, OpCode.CREATE_TTL, CreateTtlRequest("/ttl", b"", OPEN, PERSISTENT_WITH_TTL, TTL_MS)))
        reply = client.receive()
        assert reply is not None and reply.err == 0


def test_a_keeper_that_serves_is_stopped_first(tmp_path: Path) -> None:
    with Keeper(data_dir=tmp_path) as keeper:
        plan = plan_handover(tmp_path)
        assert not plan.is_ready
        assert any(f"pid {keeper.pid}" in sentence for sentence in plan.blocks)
        assert f"kill {keeper.pid}" in plan.to_apache[0]
    plan = plan_handover(tmp_path)
    assert plan.is_ready and "kill" not in plan.to_apache[0]


@pytest.mark.skipif(not is_installed(), reason=REASON)
def test_apache_goes_on_by_the_printed_zoo_cfg_and_a_keeper_after_it(tmp_path: Path) -> None:
    logs = tmp_path / "log"
    with Keeper(data_dir=tmp_path / "data", log_dir=logs, extended_types=True) as keeper:
        fill(keeper)
    port = free_ports(1)[0]
    plan = plan_handover(tmp_path / "data", logs, client_port=port)
    assert plan.is_ready and plan.java_flags == ()
    settings: dict[str, object] = dict(line.split("=", 1) for line in plan.zoo_cfg.splitlines())
    apache = Apache(data_dir=tmp_path / "data", settings=settings, port=port).start()
    try:
        client = KazooClient(apache.hosts)
        client.start()
        assert client.get("/a")[0] == b"kept"
        assert client.exists("/ttl") is not None, "without extendedTypesEnabled Apache would have deleted it"
        client.set("/a", b"by Apache")
        client.stop()
        client.close()
    finally:
        apache.stop()
    assert plan_handover(tmp_path / "data", logs).is_ready
    with Keeper(data_dir=tmp_path / "data", log_dir=logs) as keeper, RawClient(keeper.port) as raw:
        raw.connect()
        assert raw.exists("/a").err == raw.exists("/ttl").err == 0


def test_the_zoo_cfg_says_what_this_folder_needs(tmp_path: Path) -> None:
    said = configuration(tmp_path, tmp_path / "log", 2222, 500, has_ttl=False)
    assert f"dataDir={tmp_path}\ndataLogDir={tmp_path / 'log'}\nclientPort=2222\n" in said and "extendedTypes" not in said
    assert "extendedTypesEnabled=true" in configuration(tmp_path, None, 2222, 500, has_ttl=True)


def test_what_apache_would_refuse_is_told(tmp_path: Path) -> None:
    with Keeper(data_dir=tmp_path):
        pass
    report = plan_handover(tmp_path).report
    log = FileReport(tmp_path / "log.1", FileKind.LOG, 99, State.TORN)
    (torn,) = blocks(replace(report, files=(*report.files, log)))
    assert "log.1 ends in half a write" in torn
    (bare,) = blocks(replace(report, files=()))
    assert "no snapshot" in bare
    (damaged,) = blocks(replace(report, problems=("log.1 is damaged",), starts=False))
    assert damaged == "log.1 is damaged"


def test_entries_longer_than_apaches_bound_ask_for_a_flag(tmp_path: Path) -> None:
    with Keeper(data_dir=tmp_path, max_frame_bytes=4 << 20) as keeper, RawClient(keeper.port) as client:
        client.connect()
        assert client.create("/long", bytes(3 << 20)).err == 0
    (flag,) = plan_handover(tmp_path).java_flags
    assert flag.startswith("-Djute.maxbuffer=") and int(flag.partition("=")[2]) > 3 << 19
    assert any(flag in step for step in plan_handover(tmp_path).to_apache)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="no folder"):
        plan_handover(tmp_path / "none")
