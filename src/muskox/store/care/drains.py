"""Draining: the wish that a node be emptied before it is stopped, and how much lies on every node.

It owns the wish (a znode) and the count. Who takes what leaves the node is the coordinator's to decide (placement/repair.py);
where too few other nodes are live, units stay on the drained node until others come. A unit is what is placed as one: a run
of a dataset's shards, a manifest, a model, a job's program, result or checkpoint.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence

from muskox.coordination import Session, layout, live_members, read_config, stored
from muskox.errors import CallerError
from muskox.store.care.kept import checkpoints
from muskox.store.catalog import all_versions, read_holders

Units = Iterator[tuple[Sequence[str], int]]  # who holds a unit, and on how many nodes it should be


def drain(session: Session, node: str) -> str:
    """Ask that `node` be emptied; return a sentence if some of it cannot leave for want of nodes, else "".

    Raises
    ------
    CallerError
        If there is no such node, or no other live one that takes data.
    """
    known = {**dict.fromkeys(session.children(layout.DISKS)), **live_members(session)}
    if node not in known:
        raise CallerError(f"there is no node {node!r}; there are: {', '.join(sorted(known)) or 'none yet'}")
    drained = session.children(layout.DRAINS)
    others = [name for name in live_members(session) if name != node and name not in drained]
    if not others:
        raise CallerError(f"no other node than {node} is live and takes data: start one first, `muskox up --nodes N` say")
    session.create(layout.drain(node), stored.DrainRecord(since_ms=time.time_ns() // 1_000_000))
    wanted = max((replicas for holders, replicas in find_units(session) if node in holders), default=0)
    if wanted <= len(others):
        return ""
    return (
        f"{node} holds data that is to lie on {wanted} nodes, and only {len(others)} others are live: "
        "that stays until more nodes join"
    )


def undrain(session: Session, node: str) -> bool:
    """Let `node` take data again; return whether it was being drained."""
    layout.check_name("node", node)
    was_drained = session.version(layout.drain(node)) is not None
    session.delete(layout.drain(node))
    return was_drained


def count_units(session: Session) -> Counter[str]:
    """Return how many units each node holds, by what is written down; none where an object store keeps everything."""
    return Counter(node for holders, _ in find_units(session) for node in holders)


def find_units(session: Session) -> Units:
    """Yield the nodes that hold each unit, and how many should; no manifest is read for it."""
    replicas = int(read_config(session)["replicas"])
    for info in all_versions(session):
        manifest = session.find(layout.manifest_placement(info.name, info.version), stored.ManifestPlacement)
        if manifest is not None:
            yield manifest[0].nodes, info.record.replicas
        for holders in read_holders(session, info):
            yield from ((run, holders.replicas) for run in holders.runs)
    for name in session.children(layout.MODELS):
        model = session.find(layout.model(name), layout.ModelRecord)
        if model is not None:
            yield model[0].nodes, replicas
    for job_id in session.children(layout.JOBS):
        job = session.find(layout.job(job_id), layout.JobRecord)
        state = session.find(layout.job_state(job_id), layout.JobState)
        if job is not None:
            yield job[0].program_nodes, replicas
        if state is not None and state[0].result_blob:
            yield state[0].result_nodes, replicas
        yield from ((checkpoint.nodes, replicas) for _, checkpoint, _ in checkpoints(session, job_id))
