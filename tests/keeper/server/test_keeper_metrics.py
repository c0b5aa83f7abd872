"""Metrics: readable by Prometheus' own parser, and the same numbers everywhere."""

from pathlib import Path

import pytest
from operators import lived_in
from prometheus_client.parser import text_string_to_metric_families

from muskox.keeper.server.figures import Distribution
from muskox.keeper.server.metrics import exposition, metrics, monitored
from muskox.keeper.server.status import Status


@pytest.fixture
def status(tmp_path: Path) -> Status:
    _, status = lived_in(tmp_path)
    for ms in range(1, 101):
        status.figures.reads.add(float(ms), 2)
    status.figures.log_written(0.004, 7)
    status.figures.received = 12
    return status


def samples(text: str) -> dict[str, float]:
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_every_metric_with_its_type(status: Status) -> None:
    text = exposition(status, frozenset())
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["packets_received"].type == "gauge"
    assert families["commit_count"].type == "counter"
    assert families["readlatency"].type == "summary"
    assert families["process_cpu_seconds"].type == "counter"
    assert text.count("# TYPE") == len(families) == text.count("# HELP")


def test_the_numbers_are_those_of_mntr(status: Status) -> None:
    told, read = monitored(status), samples(exposition(status, frozenset()))
    compared = 0
    for name, kind, value, _ in metrics(status):
        if name in ("uptime", "open_file_descriptor_count"):
            continue
        if isinstance(value, Distribution):
            assert read[f"{name}_count"] == told[f"cnt_{name}"]
            assert int(read[f"{name}_sum"]) == told[f"sum_{name}"]
        else:
            # The parser gives counters the name that newer libraries do.
            assert read.get(name, read.get(f"{name}_total")) == told[name], kind
        compared += 1
    assert compared > 20
    assert (told["packets_received"], told["znode_count"], told["watch_count"]) == (12, 8, 3)


def test_summaries_have_quantiles_once_there_are_values(status: Status) -> None:
    read = samples(exposition(status, frozenset()))
    assert (read["readlatency{0.5}"], read["readlatency{0.9}"], read["readlatency{0.99}"]) == (51.0, 91.0, 100.0)
    assert (read["readlatency_count"], read["readlatency_sum"]) == (200.0, 10_100.0)
    assert (read["fsynctime{0.5}"], read["fsynctime_count"]) == (4.0, 1.0)
    assert "updatelatency{0.5}" not in read
    told = monitored(status)
    assert (told["min_readlatency"], told["max_readlatency"], told["avg_readlatency"]) == (1, 100, 50.5)
    assert (told["p50_readlatency"], told["p999_readlatency"]) == (51, 100)
    assert (told["avg_sync_processor_batch_size"], told["cnt_sync_processor_batch_size"]) == (7.0, 1)


def test_a_scraper_may_choose(status: Status) -> None:
    text = exposition(status, frozenset({"znode_count", "readlatency_sum"}))
    assert samples(text) == {"znode_count": 8.0, "readlatency_sum": 10_100.0}
    assert exposition(status, frozenset({"nothing"})) == ""


def test_a_reset_begins_anew(status: Status) -> None:
    status.machine.reception.expired = 3
    assert monitored(status)["stale_sessions_expired"] == 3
    status.reset()
    told = monitored(status)
    for name in (
        "stale_sessions_expired",
        "packets_received",
        "cnt_readlatency",
        "cnt_fsynctime",
        "commit_count",
        "max_latency",
    ):
        assert told[name] == 0, name
    assert told["znode_count"] == 8
