"""Where a model comes from: what it takes to make it again, and what its job went through. No part of its digest."""

import math
from typing import Any

import msgspec

import muskox
from muskox.coordination import Session, course, layout
from muskox.records import Record
from muskox.runtime.changes import changes_of


def model_record(
    session: Session, job_id: str, record: layout.JobRecord, done: layout.JobState, program: Record, result: Record
) -> layout.ModelRecord:
    """Return the model that the job's `result` is, with its lineage as known at this moment."""
    job = session.find(layout.job(job_id), layout.JobRecord)
    generation = session.find(layout.generation(job_id), layout.GenerationRecord)
    gone_through = course.CourseRecord() if generation is None else generation[0].course
    changes = changes_of(session, job_id, record)
    return layout.ModelRecord(
        digest=done.result,
        blob=done.result_blob,
        nodes=done.result_nodes,
        kind=str(result.get("kind", record.kind)),
        dataset=record.dataset,
        rounds=done.rounds,
        job=job_id,
        metrics={name: value for name, value in result.items() if isinstance(value, float) and math.isfinite(value)},
        lineage={
            **record.lineage,
            **_code(record, program),
            "muskox": muskox.__version__,
            "fingerprint": record.fingerprint,
            "changes": [{"round": round_, "values": values} for round_, values in changes],
            "user": record.user,
            "submitted_ms": record.submitted_ms,
            "started_ms": min((past.formed_ms for past in gone_through.generations), default=0),
            "generations": 0 if generation is None else generation[0].number,
            "deaths_total": gone_through.deaths_total,
            "deaths": [msgspec.to_builtins(death) for death in gone_through.deaths],
        },
        created_ms=done.finished_ms,
        program=record.program,
        program_nodes=record.program_nodes if job is None else job[0].program_nodes,  # as repaired since it was submitted
        columns=record.columns,
        rounds_max=record.rounds_max,
        fingerprint=record.fingerprint,
        parallelism=record.parallelism,
        changes=changes,
        cores=record.cores,
        memory_bytes=record.memory_bytes,
        gpus=record.gpus,
    )


def _code(record: layout.JobRecord, program: Record) -> dict[str, Any]:
    """Return which code it was: muskox's own by name, a user's by digest."""
    if "code" in program:
        return {"code": record.program, "python": program.get("python", "")}
    return {"program": program.get("program", "")}
