"""What nodes offer to workers, and what of it is taken: cores, memory, GPUs."""

from collections.abc import Mapping

from muskox.coordination import Session, layout


def capacity(session: Session, members: Mapping[str, layout.MemberRecord]) -> dict[str, dict[str, dict[str, float]]]:
    """Return for each live node what it offers and what is in use, by kind; memory 0 offered: it does not say."""
    asks: dict[str, layout.JobRecord | None] = {}
    found = {}
    for name, member in members.items():
        used = {"cores": 0.0, "memory_bytes": 0, "gpus": 0}
        assignment = session.find(layout.assignment(name), layout.AssignmentRecord)
        for job_id, workers in ({} if assignment is None else assignment[0].jobs).items():
            if job_id not in asks:
                record = session.find(layout.job(job_id), layout.JobRecord)
                asks[job_id] = None if record is None else record[0]
            asked = asks[job_id]
            if asked is not None:
                for kind, amount in (("cores", asked.cores), ("memory_bytes", asked.memory_bytes), ("gpus", asked.gpus)):
                    used[kind] += workers * amount
        offered = {"cores": member.cores, "memory_bytes": member.memory_bytes, "gpus": member.gpus}
        found[name] = {kind: {"offered": offered[kind], "used": used[kind]} for kind in offered}
    return found
