"""What a node counts of its work (rounds and their times, rows, generations, deaths, checkpoints), and how Prometheus reads it.

Counted on many threads, read by whoever asks. No name of a job is a label: a node meets more jobs than a monitor wants series.
"""

import threading
from collections.abc import Iterator, Mapping

PHASES = ("compute", "wait", "reduce", "update", "round")  # of a round report; "round" is all of it
SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # bounds of the histograms

COUNTERS = {
    "rounds": "rounds told by root workers of this node",
    "rows": "rows of the datasets of these rounds",
    "generations": "generations that workers of this node took part in",
    "deaths": "workers of this node that ended unasked or were put out",
    "checkpoints": "checkpoints kept",
    "checkpoints_skipped": "checkpoints that could not be kept",
    "checkpoint_bytes": "bytes of the checkpoints kept",
    "changes": "changes of running jobs that were committed",
    "results": "results committed",
}
GAUGES = {
    "is_coordinator": "whether this node coordinates",
    "jobs_waiting": "jobs that wait, as the coordinator sees them; 0 on other nodes",
    "jobs": "jobs that this node works for",
    "workers": "worker processes of this node",
    "cores": "cores that this node offers",
    "cores_in_use": "cores of them that workers take",
    "memory_bytes": "memory that this node offers; 0 if it does not say",
    "memory_in_use_bytes": "memory that workers take",
    "blobs": "blobs in the store of this node",
    "blob_bytes": "bytes of them",
    "disk_free_bytes": "bytes free on the disk of the store",
}


class Histogram:
    """How many values lay at or below each bound, and their sum."""

    def __init__(self) -> None:
        self.counts = [0] * len(SECONDS)
        self.count = 0
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.count += 1
        self.sum += value
        for place, bound in enumerate(SECONDS):
            if value <= bound:
                self.counts[place] += 1

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        comma = "," if labels else ""
        for bound, count in zip(SECONDS, self.counts, strict=True):
            yield f'{name}_bucket{{{labels}{comma}le="{bound:g}"}} {count}'
        yield f'{name}_bucket{{{labels}{comma}le="+Inf"}} {self.count}'
        yield f"{name}_sum{{{labels}}} {self.sum!r}"
        yield f"{name}_count{{{labels}}} {self.count}"


class Figures:
    """What one node has counted since it started. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(COUNTERS, 0)
        self._rounds = {phase: Histogram() for phase in PHASES}
        self._checkpoints = Histogram()

    def count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by

    def round_told(self, phases: Mapping[str, float], rows: int) -> None:
        """Count a finished round of a job with so many rows."""
        with self._lock:
            self._counts["rounds"] += 1
            self._counts["rows"] += rows
            for phase, histogram in self._rounds.items():
                if phase in phases:
                    histogram.observe(phases[phase])

    def checkpoint_kept(self, seconds: float, size: int) -> None:
        with self._lock:
            self._counts["checkpoints"] += 1
            self._counts["checkpoint_bytes"] += size
            self._checkpoints.observe(seconds)

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return everything in Prometheus' text format, version 0.0.4; `gauges` by the names of `GAUGES`."""
        with self._lock:
            return "\n".join([*self._lines(gauges), ""])

    def _lines(self, gauges: Mapping[str, float]) -> Iterator[str]:
        for name, meaning in GAUGES.items():
            if name in gauges:
                yield from _head(f"muskox_{name}", meaning, "gauge")
                yield f"muskox_{name} {gauges[name]:.17g}"
        for name, meaning in COUNTERS.items():
            yield from _head(f"muskox_{name}_total", meaning, "counter")
            yield f"muskox_{name}_total {self._counts[name]}"
        yield from _head("muskox_round_seconds", "seconds of a round, by what they were spent on", "histogram")
        for phase, histogram in self._rounds.items():
            yield from histogram.lines("muskox_round_seconds", f'phase="{phase}"')
        yield from _head("muskox_checkpoint_seconds", "seconds until a checkpoint was committed", "histogram")
        yield from self._checkpoints.lines("muskox_checkpoint_seconds")


def _head(name: str, meaning: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"
