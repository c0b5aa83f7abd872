"""What scripts and people are shown: plain dictionaries made of ZooKeeper's records, the same for Python and `--json`."""

from datetime import UTC, datetime
from typing import Any

from muskox.coordination import Session, layout, live_members
from muskox.runtime import job_state
from muskox.store import DatasetInfo


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
    }


def model(name: str, record: layout.ModelRecord) -> dict[str, Any]:
    return {
        "name": name,
        "digest": record.digest,
        "dataset": record.dataset,
        "rounds": record.rounds,
        "metrics": record.metrics,
        "lineage": record.lineage,
        "kind": record.kind,
        "job": record.job,
        "created": when(record.created_ms),
    }


def job(session: Session, job_id: str) -> dict[str, Any]:
    """Return the job's record; CallerError if there is no such job."""
    record, _ = session.get(layout.job(job_id), layout.JobRecord, f"job {job_id!r}; `muskox jobs` lists them")
    state = job_state(session, job_id)
    generation = session.find(layout.generation(job_id), layout.GenerationRecord)
    progress = session.find(layout.progress(job_id), layout.ProgressRecord)
    members = [] if generation is None or state.phase.is_final else generation[0].members
    return {
        "id": job_id,
        "kind": record.kind,
        "state": str(state.phase),
        "round": state.rounds or (0 if progress is None else progress[0].round),
        "generation": 0 if generation is None else generation[0].number,
        "reason": state.reason,
        "dataset": record.dataset,
        "model": record.model,
        "workers": [{"node": member.node, "pid": member.pid, "shards": member.shards} for member in members],
        "metrics": {} if progress is None else progress[0].metrics,
        "digest": state.result,
        "submitted": when(record.submitted_ms),
        "submitted_ms": record.submitted_ms,
        "finished": when(state.finished_ms),
    }


def status(session: Session, keeper_pid: int | None) -> dict[str, Any]:
    """Return the cluster as `muskox status --json` prints it."""
    fence = session.find(layout.FENCE, layout.FenceRecord)
    coordinator = None if fence is None else fence[0].incarnation
    nodes = [
        {
            "name": name,
            "pid": member.pid,
            "address": member.address,
            "coordinator": member.incarnation == coordinator,
            "cores": member.cores,
        }
        for name, member in live_members(session).items()
    ]
    keys = ("id", "state", "round", "generation", "workers", "reason", "model")
    jobs = [job(session, job_id) for job_id in session.children(layout.JOBS)]
    running = [{key: view[key] for key in keys} for view in jobs if view["state"] in ("waiting", "running")]
    return {"zk": str(session.address), "keeper": {"pid": keeper_pid}, "nodes": nodes, "jobs": running}
