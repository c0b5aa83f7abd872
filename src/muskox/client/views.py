"""What scripts and people are shown: plain dictionaries made of ZooKeeper's records, the same for Python and `--json`."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from muskox.client import health
from muskox.client.capacity import capacity
from muskox.coordination import Session, layout, live_members
from muskox.runtime import changes_of, job_state
from muskox.store import Dataset, DatasetInfo, measure_skew


def when(milliseconds: int) -> str:
    """Return a time as ISO 8601 in UTC; "" for none."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds") if milliseconds else ""


def dataset(info: DatasetInfo) -> dict[str, Any]:
    record = info.record
    return {
        "name": info.name,
        "version": info.version,
        "rows": record.rows,
        "shards": record.shards,
        "replicas": record.replicas,
        "by": record.by,
        "bytes": record.bytes,
        "digest": record.digest,
        "created": when(record.created_ms),
        "groups": record.groups,
        "registered": record.registered,
        "versions": list(info.versions),
    }


def described(opened: Dataset, live: Collection[str]) -> dict[str, Any]:
    """Return what there is to know of a version: `placement` says of each shard who holds it, `lies_on` of each node how much.

    Where there are column groups, `nodes_by_group` says who holds which of them, and `nodes` who holds any.
    """
    lies_on: dict[str, dict[str, Any]] = {}
    placement = []
    for index, shard in enumerate(opened.shards):
        by_group = {name: list(opened.nodes(index, group)) for group, name in enumerate(opened.groups)}
        nodes = list(dict.fromkeys(node for own in by_group.values() for node in own))
        apart = {"nodes_by_group": by_group} if len(by_group) > 1 else {}
        placement.append({"shard": index, "rows": shard.rows, "bytes": shard.bytes, "nodes": nodes, **apart})
        for group, part in enumerate(shard.parts):
            for node in opened.nodes(index, group):
                held = lies_on.setdefault(node, {"live": node in live, "files": 0, "bytes": 0})
                held["files"] += 1
                held["bytes"] += part.bytes
    rows = [shard.rows for shard in opened.shards]
    is_registered = bool(opened.info.record.registered)
    return {
        **dataset(opened.info),
        "health": {"place": "registered", "units": 0, "below": 0, "gone": 0}
        if is_registered
        else health.holders_health(opened.holders, live),
        "columns": dict(opened.columns),
        "column_groups": opened.groups,
        "skew": measure_skew(rows).sentence() if sum(rows) else "",
        "lies_on": dict(sorted(lies_on.items())),
        "placement": placement,
    }


def short_of_nodes(opened: Dataset) -> list[str]:
    """Return a sentence if a version has fewer replicas than it should for want of nodes; no sentence if not."""
    short = min((len(run) for holders in opened.holders for run in holders.runs), default=opened.info.record.replicas)
    wanted = opened.info.record.replicas
    if short >= wanted:
        return []
    return [f"{opened.reference} lies on {short} of the {wanted} nodes it should: the rest follows when more nodes join"]


def model(name: str, record: layout.ModelRecord) -> dict[str, Any]:
    return {
        "name": name,
        "digest": record.digest,
        "dataset": record.dataset,
        "rounds": record.rounds,
        "metrics": record.metrics,
        "lineage": lineage(record.lineage),
        "kind": record.kind,
        "job": record.job,
        "created": when(record.created_ms),
    }


def lineage(recorded: dict[str, Any]) -> dict[str, Any]:
    """Return a model's lineage with its times as people read them."""
    shown = dict(recorded)
    for name in ("submitted_ms", "started_ms"):
        if name in shown:
            shown[name.removesuffix("_ms")] = when(shown.pop(name))
    if "deaths" in shown:
        shown["deaths"] = [
            {**{name: value for name, value in death.items() if name != "at_ms"}, "at": when(death["at_ms"])}
            for death in shown["deaths"]
        ]
    return shown


def job(session: Session, job_id: str) -> dict[str, Any]:
    """Return the job's record; CallerError if there is no such job.

    `workers` are those of the present generation; `workers_max` is 0 for one a node.
    """
    record, _ = session.get(layout.job(job_id), layout.JobRecord, f"job {job_id!r}; `muskox jobs` lists them")
    state = job_state(session, job_id)
    generation = session.find(layout.generation(job_id), layout.GenerationRecord)
    progress = session.find(layout.progress(job_id), layout.ProgressRecord)
    present = layout.GenerationRecord(number=0) if generation is None else generation[0]
    members = [] if state.phase.is_final else present.members
    return {
        "id": job_id,
        "kind": record.kind,
        "state": str(state.phase),
        "round": state.rounds or (0 if progress is None else progress[0].round),
        "generation": present.number,
        "reason": state.reason,
        "dataset": record.dataset,
        "model": record.model,
        "parallelism": record.parallelism,
        "user": record.user,
        "priority": record.priority,
        "workers_min": max(record.workers_min, 1),
        "workers_max": record.workers,
        "asks": {"cores": record.cores, "memory_bytes": record.memory_bytes, "gpus": record.gpus},
        "workers": [{"node": member.node, "pid": member.pid, "shards": member.shards} for member in members],
        "metrics": {} if progress is None else progress[0].metrics,
        "phases": {} if progress is None else progress[0].phases,
        "generations": [
            {"number": past.number, "formed": when(past.formed_ms), "workers": past.workers, "reason": past.reason}
            for past in present.course.generations
        ],
        "deaths": [
            {"worker": death.worker, "node": death.node, "generation": death.generation}
            | {"at": when(death.at_ms), "reason": death.reason}
            for death in present.course.deaths
        ],
        "deaths_total": present.course.deaths_total,
        "changes": [{"round": round_, "values": values} for round_, values in changes_of(session, job_id, record)],
        "digest": state.result,
        "submitted": when(record.submitted_ms),
        "submitted_ms": record.submitted_ms,
        "finished": when(state.finished_ms),
    }


def status(session: Session, keeper_pid: int | None) -> dict[str, Any]:
    """Return the cluster as `muskox status --json` prints it."""
    drained = session.children(layout.DRAINS)
    fence = session.find(layout.FENCE, layout.FenceRecord)
    coordinator = None if fence is None else fence[0].incarnation
    members = live_members(session)
    resources = capacity(session, members)
    nodes = [
        {
            "name": name,
            "pid": member.pid,
            "address": member.address,
            "coordinator": member.incarnation == coordinator,
            "cores": member.cores,
            "resources": resources[name],
            "leaving": member.is_leaving,
            "metrics": f"http://{member.metrics}/metrics" if member.metrics else "",
            "rack": member.rack,
            "draining": name in drained,
            "disk": health.disk(session, name),
        }
        for name, member in members.items()
    ]
    keys = ("id", "state", "round", "generation", "workers", "reason", "model")
    open_ = [job_id for job_id in session.children(layout.JOBS) if not job_state(session, job_id).phase.is_final]
    jobs = [job(session, job_id) for job_id in open_]  # all of those that are over would be read for nothing
    running = [{key: view[key] for key in keys} for view in jobs if view["state"] in ("waiting", "running")]
    view = {"zk": str(session.address), "keeper": {"pid": keeper_pid}, "nodes": nodes, "jobs": running}
    return {**view, "storage": health.storage(session)}
