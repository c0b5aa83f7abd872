"""What is measured, by the names of Apache's metrics: for `mntr`, for the AdminServer, and as Prometheus reads it.

A metric of Apache's is told only where it means the same here; what belongs to an ensemble, to Java or to Apache's inner queues
is left out.
"""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from muskox.keeper.server.figures import Distribution
from muskox.keeper.server.status import VERSION, Status

PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}
QUANTILES_BASIC = (0.5,)
QUANTILES_ADVANCED = (0.5, 0.9, 0.99)
DESCRIPTORS = Path("/proc/self/fd")
MEMORY = Path("/proc/self/statm")


class Metric(NamedTuple):
    """A gauge or counter with its number, or a summary with its values; `is_advanced` ones have more quantiles."""

    name: str
    kind: str
    value: float | Distribution
    is_advanced: bool = False


def metrics(status: Status) -> Iterator[Metric]:
    """Yield every metric as it is now."""
    yield from gauges(status)
    yield from counters(status)
    yield from summaries(status)


def gauges(status: Status) -> Iterator[Metric]:
    figures, machine = status.figures, status.machine
    for name, value in {
        "avg_latency": status.latency_ms_mean,
        "max_latency": status.latency_ms_max,
        "min_latency": status.latency_ms_min,
        "packets_received": figures.received,
        "packets_sent": figures.sent,
        "num_alive_connections": len(figures.traffics),
        "outstanding_requests": status.outstanding,
        "uptime": status.uptime_ms,
        "znode_count": status.node_count,
        "watch_count": machine.watches.count,
        "ephemerals_count": status.ephemeral_count,
        "approximate_data_size": status.data_size,
        "global_sessions": status.session_count,
        "local_sessions": 0,
        "open_file_descriptor_count": open_descriptors(),
        "max_file_descriptor_count": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "auth_failed_count": figures.auth_failures,
    }.items():
        yield Metric(name, "gauge", value)


def counters(status: Status) -> Iterator[Metric]:
    figures = status.figures
    for name, value in {
        "commit_count": figures.commits,
        "bytes_received_count": status.bytes_received,
        "response_bytes": figures.bytes_sent,
        "connection_request_count": figures.connects,
        "connection_rejected": figures.rejected,
        "connection_drop_count": figures.dropped,
        "sessionless_connections_expired": figures.silent_expired,
        "stale_sessions_expired": status.machine.reception.expired - figures.expired_before,
        "digest_mismatches_count": 0,  # a start refuses what does not match
        "unrecoverable_error_count": 0,  # one ends the server
    }.items():
        yield Metric(name, "counter", value)


def summaries(status: Status) -> Iterator[Metric]:
    figures = status.figures
    yield Metric("fsynctime", "summary", figures.syncs)
    yield Metric("snapshottime", "summary", figures.snapshots)
    yield Metric("dbinittime", "summary", figures.starts)
    yield Metric("startup_txns_loaded", "summary", figures.replayed)
    yield Metric("sync_processor_batch_size", "summary", figures.batches)
    yield Metric("readlatency", "summary", figures.reads, is_advanced=True)
    yield Metric("updatelatency", "summary", figures.updates, is_advanced=True)


def monitored(status: Status) -> dict[str, str | int | float]:
    """Return what `mntr` tells, as Apache's default metrics provider names it."""
    told: dict[str, str | int | float] = {"version": VERSION, "server_state": "standalone"}
    for name, _, value, is_advanced in metrics(status):
        if not isinstance(value, Distribution):
            told[name] = value
            continue
        told["avg_" + name] = round(value.mean, 4)
        told["min_" + name] = int(value.min)
        told["max_" + name] = int(value.max)
        told["cnt_" + name] = value.count
        told["sum_" + name] = int(value.total)
        if is_advanced:
            told |= {f"{percentile}_{name}": round(value.quantile(share)) for percentile, share in PERCENTILES.items()}
    return told


def exposition(status: Status, names: frozenset[str]) -> str:
    """Return all metrics, or those among `names` if there are any, as Prometheus reads them."""
    lines: list[str] = []
    for name, kind, value, is_advanced in (*metrics(status), *process_metrics(status)):
        if not isinstance(value, Distribution):
            samples = [(name, f"{name} {float(value)}")]
        else:
            quantiles = QUANTILES_ADVANCED if is_advanced else QUANTILES_BASIC
            shares = [f'{name}{{quantile="{share}",}} {value.quantile(share)}' for share in quantiles] if value.count else []
            samples = [(name, each) for each in shares]
            samples += [(f"{name}_count", f"{name}_count {float(value.count)}"), (f"{name}_sum", f"{name}_sum {value.total}")]
        if names:
            samples = [sample for sample in samples if sample[0] in names]
        if samples:
            lines += [f"# HELP {name} {name}", f"# TYPE {name} {kind}", *(line for _, line in samples)]
    return "\n".join(lines) + "\n" if lines else ""


def process_metrics(status: Status) -> Iterator[Metric]:
    """Yield what Prometheus' own libraries tell of any process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield Metric("process_cpu_seconds_total", "counter", usage.ru_utime + usage.ru_stime)
    yield Metric("process_start_time_seconds", "gauge", round(time.time() - status.uptime_ms / 1000, 3))
    yield Metric("process_open_fds", "gauge", open_descriptors())
    yield Metric("process_max_fds", "gauge", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if MEMORY.exists():
        pages = MEMORY.read_text(encoding="ascii").split()
        size = os.sysconf("SC_PAGE_SIZE")
        yield Metric("process_virtual_memory_bytes", "gauge", int(pages[0]) * size)
        yield Metric("process_resident_memory_bytes", "gauge", int(pages[1]) * size)


def open_descriptors() -> int:
    """Return how many files and sockets are open; 0 where the system does not tell."""
    try:
        return sum(1 for _ in DESCRIPTORS.iterdir())
    except OSError:
        return 0
