"""What is written down of a job's course when a generation is formed: which one it is, why, and who was lost on the way."""

import time

import msgspec

from muskox.coordination import Session, course, layout


def with_course(session: Session, job_id: str, after: layout.GenerationRecord) -> layout.GenerationRecord:
    """Return the generation `after` as it is to be committed: with what its job went through until now."""
    found = session.find(layout.generation(job_id), layout.GenerationRecord)
    before = layout.GenerationRecord(number=0) if found is None else found[0]
    now_ms = time.time_ns() // 1_000_000
    formed = course.PastGeneration(
        number=after.number, formed_ms=now_ms, workers=len(after.members), reason=after.reason[: course.REASON_LENGTH_MAX]
    )
    gone_through = before.course.after(formed, _deaths(session, job_id, before, after, now_ms))
    return msgspec.structs.replace(after, course=gone_through)


def _deaths(
    session: Session, job_id: str, before: layout.GenerationRecord, after: layout.GenerationRecord, now_ms: int
) -> list[course.Death]:
    """Return who was lost. A worker that is merely missing was let go by its node; unless that is gone as well."""
    stayed = {member.worker for member in after.members}
    deaths = []
    for member in before.members:
        if member.worker in stayed:
            continue
        suspect = session.find(layout.suspect(job_id, member.worker), layout.SuspectRecord)
        if suspect is not None:
            reason = suspect[0].reason[: course.REASON_LENGTH_MAX]
        elif session.version(layout.member(member.node)) is None:
            reason = "its node is gone"
        else:
            continue
        deaths.append(
            course.Death(worker=member.worker, node=member.node, generation=before.number, at_ms=now_ms, reason=reason)
        )
    return deaths
