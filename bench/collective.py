"""What two workers need to sum a vector, beside an all-reduce of torch's gloo and of XGBoost's collective: 1 kB, 1 MB, 100 MB.

Ours are rounds of two real worker processes, started as a node starts them, of a program whose partials are there already.
"ours" is a round less the program's own work (partial and update): copying out, the exchange, the sum, the ways to the thread
and back; "round" is all of it, with the update, the state's digest and the word to the node. The peers sum the same numbers in
two processes, in place, one call after the other.

Everybody's sum has the same bits (two numbers are added in one way); its digest is printed.

    python bench/collective.py [--rounds 40] [--sizes 1e3,1e6,1e8] [--xgboost-python PATH] [--json] [--tiny]
"""

import argparse
import hashlib
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BENCH = str(Path(__file__).resolve())
WORKERS = 2
WARM_UP = 6  # rounds, or calls, that are not counted: memory is mapped and connections open up
BOUND_S = 300.0


def numbers(rank: int, size: int) -> np.ndarray:
    return np.random.default_rng(rank).standard_normal(max(size // 8, 1))


def digest_of(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


# -- ours --


class Summing:
    """A program that only adds numbers it has: one shard a worker."""

    def __init__(self, size: int, rounds: int) -> None:
        self.size, self.rounds = size, rounds

    def initial(self, _: Any) -> dict[str, Any]:
        return {"round": 0}

    def partial(self, _state: dict[str, Any], shard: Any, _blocks: Iterator[Any]) -> dict[str, Any]:
        return {"sums": shard.cached("numbers", lambda: numbers(shard.index, self.size))}

    def merge(self, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
        return {"sums": left["sums"] + right["sums"]}

    def adds(self, _: dict[str, Any]) -> bool:
        return True

    def update(self, state: dict[str, Any], total: dict[str, Any]) -> Any:
        from muskox.program import Done

        if state["round"] + 1 == self.rounds:
            return Done({"digest": digest_of(total["sums"])})
        return {"round": state["round"] + 1, "first": total["sums"][:1]}


class Worker:
    """One worker process, and what it says."""

    def __init__(self, context: Any, name: str, program: Any, rounds: int) -> None:
        from muskox.records import pack
        from muskox.runtime.jobs import program_record
        from muskox.runtime.messages import Settings, Setup
        from muskox.runtime.pool import WorkerProcess

        self.said: queue.SimpleQueue[tuple[Any, bytes]] = queue.SimpleQueue()
        self.process = WorkerProcess(context, name, lambda _, head, body: self.said.put((head, body)), end)
        setup = Setup("bench", name, "127.0.0.1", "ab" * 32, {"x": "float"}, [1] * WORKERS, rounds + 1)
        self.process.send(setup, pack(program_record(program)))
        self.process.send(Settings(60.0, 1e9))

    def hear(self, *kinds: str) -> tuple[Any, bytes]:
        while True:
            head, body = self.said.get(timeout=BOUND_S)
            if type(head).__name__ == "Failed":
                sys.exit(f"a worker failed: {head.reason}")
            if type(head).__name__ in kinds:
                return head, body


def end(_: Any) -> None:
    """A worker ended: who waits for its word notices."""


def ours(context: Any, file: str, size: int, rounds: int) -> tuple[list[float], list[float], str]:
    """Return for each round the milliseconds of the collective and of all, and the digest of the sum."""
    from muskox.records import unpack
    from muskox.runtime.messages import Formed, Member, Restore

    program = Summing(size, rounds + WARM_UP)
    workers = [Worker(context, f"w{rank}", program, rounds + WARM_UP) for rank in range(WORKERS)]
    members = [
        Member(worker.process.name, worker.hear("Listening")[0].address, str(rank)) for rank, worker in enumerate(workers)
    ]
    for rank, worker in enumerate(workers):
        worker.process.send(Formed(1, members, {rank: [file]}))
    wanted = workers[0].hear("Wanted")[0]
    workers[0].process.send(Restore(wanted.generation, 0, ""))
    phases = []
    while True:
        head, body = workers[0].hear("Told", "Finished")
        if type(head).__name__ == "Finished":
            break
        phases.append(head.phases)
    for worker in workers:
        worker.process.stop()
    counted = phases[WARM_UP:-1]  # the last round hashes the whole sum
    summed = [1000 * (each["round"] - each["compute"] - each["update"]) for each in counted]
    return summed, [1000 * each["round"] for each in counted], str(unpack(body)["digest"])


# -- peers: two processes of this very file --


def gloo(rank: int, address: str, size: int, calls: int) -> tuple[list[float], str]:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=WORKERS)
    mine = numbers(rank, size)

    def call(array: np.ndarray) -> np.ndarray:
        dist.all_reduce(torch.from_numpy(array))
        return array

    found = timed(mine, call, calls)
    dist.barrier()
    dist.destroy_process_group()
    return found


def xgboost(rank: int, address: str, size: int, calls: int) -> tuple[list[float], str]:
    from xgboost import collective

    while not Path(address).exists():
        time.sleep(0.01)
    arguments = json.loads(Path(address).read_text())
    with collective.CommunicatorContext(dmlc_communicator="rabit", **arguments):
        return timed(numbers(rank, size), lambda array: collective.allreduce(array, collective.Op.SUM), calls)


def timed(mine: np.ndarray, call: Callable[[np.ndarray], np.ndarray], calls: int) -> tuple[list[float], str]:
    """Return the milliseconds of each call after the warm-up, and the digest of the first sum."""
    digest = digest_of(call(mine.copy()))
    array, seconds = mine.copy(), []
    for _ in range(calls + WARM_UP):
        begun = time.perf_counter()
        call(array)
        seconds.append(time.perf_counter() - begun)
    return [1000 * value for value in seconds[WARM_UP:]], digest


def peer(name: str, python: str, size: int, calls: int) -> tuple[list[float], str] | str:
    """Run a peer in two processes; return what rank 0 measured, or why there is none."""
    have = subprocess.run([python, "-c", f"import {'torch' if name == 'gloo' else name}"], capture_output=True, check=False)
    if have.returncode:
        return f"{name} is not installed for {python}"
    with tempfile.TemporaryDirectory(prefix="muskox-bench-") as folder:
        address = str(Path(folder) / "meeting")
        command = [python, BENCH, "--peer", name, "--address", address, "--size", str(size)]
        command += ["--rounds", str(calls)]
        if name == "xgboost":
            tracker = subprocess.Popen([*command, "--rank", "-1"])
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ranks = [
            subprocess.Popen([*command, "--rank", str(rank)], stdout=subprocess.PIPE, env=environment)
            for rank in range(WORKERS)
        ]
        told = [process.communicate(timeout=BOUND_S)[0] for process in ranks]
        if name == "xgboost":
            tracker.wait(BOUND_S)
    if any(process.returncode for process in ranks):
        return f"{name} failed"
    told_line = next(line for line in told[0].splitlines() if line.startswith(b"[["))  # gloo prints of its own, too
    milliseconds, digest = json.loads(told_line)
    return milliseconds, digest


def serve_tracker(address: str) -> None:
    """XGBoost's ranks find each other through a tracker."""
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(host_ip="127.0.0.1", n_workers=WORKERS)
    tracker.start()
    draft = Path(address + ".draft")
    draft.write_text(json.dumps({name: value for name, value in tracker.worker_args().items() if name != "dmlc_communicator"}))
    draft.rename(address)
    tracker.wait_for()


# -- the table --


def measure(sizes: list[int], rounds: int, xgboost_python: str) -> list[dict[str, Any]]:
    from muskox.runtime.pool import start_forkserver

    context = start_forkserver()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="muskox-bench-") as folder:
        file = write_shard_file(Path(folder))
        for size in sizes:
            expected = digest_of(sum(numbers(rank, size) for rank in range(WORKERS)))  # type: ignore[arg-type]
            summed, whole, digest = ours(context, file, size, rounds)
            row: dict[str, Any] = {"bytes": size, "digest": digest}
            row |= {"ours_ms": statistics.median(summed), "round_ms": statistics.median(whole)}
            for name, python in (("gloo", sys.executable), ("xgboost", xgboost_python)):
                found = peer(name, python, size, rounds)
                if isinstance(found, str):
                    row[f"{name}_missing"] = found
                else:
                    row[f"{name}_ms"], theirs = statistics.median(found[0]), found[1]
                    row[f"{name}_ratio"] = row[f"{name}_ms"] / row["ours_ms"]
                    row[f"{name}_same"] = theirs == expected
            if digest != expected:
                sys.exit(f"the sum of {size} bytes has digest {digest}, not {expected}")
            rows.append(row)
    return rows


def write_shard_file(folder: Path) -> str:
    """Return the path of a shard file of one row: a worker reads what it owns before it computes."""
    import pyarrow as pa

    from muskox.store.disk.shard import write_shard

    table = pa.table({"x": [1.0]})
    part = write_shard(folder / "draft", table.schema, table.to_batches()).parts[0]
    return str(part.path.rename(folder / part.file_digest))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--sizes", default="1e3,1e6,1e8")
    parser.add_argument("--xgboost-python", default=sys.executable, help="a Python that has xgboost, if this one has not")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="few rounds of small vectors, as the tests run it")
    parser.add_argument("--peer", choices=["gloo", "xgboost"], help=argparse.SUPPRESS)
    for name, kind in (("--address", str), ("--rank", int), ("--size", int)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        if options.rank < 0:
            serve_tracker(options.address)
        else:
            run = gloo if options.peer == "gloo" else xgboost
            print(json.dumps(run(options.rank, options.address, options.size, options.rounds)))
        return
    sizes = [1000, 100_000] if options.tiny else [int(float(size)) for size in options.sizes.split(",")]
    rows = measure(sizes, 5 if options.tiny else options.rounds, options.xgboost_python)
    if options.json:
        print(json.dumps(rows))
        return
    print("median milliseconds; ratio: the peer's time over ours (above 1 we are faster)")
    print(f"{'bytes':>12} {'ours':>9} {'round':>9} {'gloo':>9} {'ratio':>6} {'xgboost':>9} {'ratio':>6}  digest of the sum")
    for row in rows:
        cells = [f"{row[key]:>{width}.{places}f}" if key in row else f"{'-':>{width}}" for key, width, places in COLUMNS]
        print(f"{row['bytes']:>12,} {' '.join(cells)}  {row['digest'][:16]}...")
    for missing in {row[key] for row in rows for key in row if key.endswith("_missing")}:
        print(missing)


COLUMNS = [
    *(("ours_ms", 9, 3), ("round_ms", 9, 3)),
    *(("gloo_ms", 9, 3), ("gloo_ratio", 6, 2)),
    *(("xgboost_ms", 9, 3), ("xgboost_ratio", 6, 2)),
]

if __name__ == "__main__":
    main()
