"""How long the coordinator thinks: one pure plan() over a large made-up cluster; CPU seconds, so that others do not matter.

    python bench/planning.py [--nodes 1000] [--jobs 100] [--shards 10000] [--json] [--tiny]

The digest printed is that of all orders: nobody speeds this up by ordering something else.
"""

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

from muskox.coordination import layout
from muskox.runtime.planning.picture import Assign, Form, JobView, Order, Picture, Replicas
from muskox.runtime.planning.plan import plan

TIMES = 5


def cluster(nodes: int, jobs: int, shards: int) -> Picture:
    """Return a picture of nodes with eight cores and of jobs of seven users, that all want a worker on every node."""
    members = {
        f"n{number}": layout.MemberRecord(
            name=f"n{number}", folder_id="f", incarnation="i", address="h:1", pid=1, cores=8, fingerprint="x"
        )
        for number in range(nodes)
    }
    held = Replicas.count([(f"n{shard % nodes}", f"n{(shard + 7) % nodes}") for shard in range(shards)])
    views = [
        JobView(
            id=f"job-{number}",
            record=layout.JobRecord(
                kind="k",
                program="p",
                program_nodes=[],
                dataset="d@1",
                fingerprint="x",
                user=f"u{number % 7}",
                submitted_ms=number,
            ),
            state=layout.JobState(phase=layout.JobPhase.WAITING),
            replicas=held,
            generation=layout.GenerationRecord(number=0),
            workers={},
            suspects=[],
        )
        for number in range(jobs)
    ]
    return Picture(members, {}, views)


def performed(picture: Picture, orders: Sequence[Order]) -> Picture:
    """Return the picture once all has come about that was ordered: workers that were assigned are there."""
    assignments, jobs = dict(picture.assignments), {job.id: job for job in picture.jobs}
    for order in orders:
        if isinstance(order, Form):
            state = layout.JobState(phase=layout.JobPhase.RUNNING)
            jobs[order.job] = replace(jobs[order.job], generation=order.generation, state=state)
        elif isinstance(order, Assign):
            assignments[order.node] = order.jobs
    for job in list(jobs.values()):
        workers = {
            f"{node}.a1b2c3.{number}": layout.WorkerRecord(node=node, address="h:2", pid=2)
            for node, wanted in assignments.items()
            for number in range(wanted.get(job.id, 0))
        }
        jobs[job.id] = replace(job, workers=workers)
    return replace(picture, assignments=assignments, jobs=list(jobs.values()))


def measure(nodes: int, jobs: int, shards: int) -> dict[str, object]:
    """Return the seconds of one plan() of each kind (the median of some), and the digest of all orders."""
    told = hashlib.sha256()

    def timed(picture: Picture) -> tuple[float, list[Order]]:
        seconds = []
        for _ in range(TIMES):
            began_s = time.process_time()
            orders = plan(picture)
            seconds.append(time.process_time() - began_s)
        told.update(repr(orders).encode())
        return statistics.median(seconds), orders

    waiting = cluster(nodes, jobs, shards)
    all_wait_s, assigns = timed(waiting)
    staffed = performed(waiting, assigns)
    all_form_s, forms = timed(staffed)
    running = performed(staffed, forms)
    nothing_s, nothing = timed(running)
    assert not nothing, "a settled picture leaves no orders"
    dead = replace(running, members={name: member for name, member in running.members.items() if name != "n0"})
    death_s, _ = timed(dead)
    seconds = {"all wait": all_wait_s, "all form": all_form_s, "nothing new": nothing_s, "a node died": death_s}
    return {"digest": told.hexdigest(), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tiny", action="store_true", help="a small cluster, as the tests run it")
    options = parser.parse_args()
    sizes = (20, 5, 100) if options.tiny else (options.nodes, options.jobs, options.shards)
    measured = measure(*sizes)
    if options.json:
        print(json.dumps(measured))
        return
    print(f"{sizes[0]} nodes, {sizes[1]} jobs, {sizes[2]} shards each; orders {str(measured['digest'])[:16]}...")
    for name, seconds in measured["seconds"].items():  # type: ignore[attr-defined]
        print(f"{name:<12} {seconds:8.3f} s")


if __name__ == "__main__":
    main()
