"""Verifying models: each is trained again from its recorded lineage on whatever cluster is there, and the digests compared.

Reproducible builds, for models. The training is a job like any other, but registers nothing.
"""

import time
from dataclasses import dataclass
from enum import StrEnum

from muskox import runtime
from muskox.coordination import layout, live_members
from muskox.errors import CallerError, Corrupt, MuskoxError, Unavailable
from muskox.records import Record, unpack
from muskox.serve import get_model
from muskox.store import Home, find_dataset, parse_reference


class Verdict(StrEnum):
    SAME = "same"
    DIFFERS = "differs"
    UNKNOWN = "cannot be verified"


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of verifying a model: `found` is the digest of what was trained again, "" where nothing could be."""

    model: str
    verdict: Verdict
    digest: str
    found: str = ""
    reason: str = ""
    job: str = ""
    seconds: float = 0.0


def verify_model(home: Home, name: str, *, workers: int | None = None) -> Verified:
    """Train the model again as it was trained, and compare.

    Raises
    ------
    CallerError
        If there is no such model.
    """
    entry = get_model(home.session, name)
    began = time.monotonic()
    try:
        job_id = runtime.submit(home, _spec(home, name, entry, workers or 0))
    except MuskoxError as error:
        return Verified(name, Verdict.UNKNOWN, entry.digest, reason=str(error))
    state = runtime.wait(home.session, job_id)
    seconds = time.monotonic() - began
    if state.phase is not layout.JobPhase.DONE:
        reason = f"job {job_id} {state.phase}" + (f": {state.reason}" if state.reason else "")
        return Verified(name, Verdict.UNKNOWN, entry.digest, "", reason, job_id, seconds)
    verdict = Verdict.SAME if state.result == entry.digest else Verdict.DIFFERS
    return Verified(name, verdict, entry.digest, state.result, "", job_id, seconds)


def _spec(home: Home, name: str, entry: layout.ModelRecord, workers: int) -> runtime.JobSpec:
    """Return the job that trains the model again; raise what says why there is none."""
    if not entry.program:
        raise CallerError("it was trained by a version of muskox that kept no program: train it again")
    dataset, number = parse_reference(entry.dataset)
    find_dataset(home.session, dataset, number)
    fingerprints = {member.fingerprint for member in live_members(home.session).values()}
    if entry.fingerprint not in fingerprints:
        here = ", ".join(sorted(fingerprints)) or "none, for no node is live"
        raise Unavailable(f"no node computes with its numeric fingerprint {entry.fingerprint}; those here: {here}")
    return runtime.JobSpec(
        kind="verify",
        program=_program(home, entry),
        dataset=entry.dataset,
        columns=entry.columns,
        workers=workers,
        cores=entry.cores,
        memory_bytes=entry.memory_bytes,
        gpus=entry.gpus,
        parallelism=entry.parallelism,
        changes=entry.changes,
        rounds_max=entry.rounds_max,
        fingerprint=entry.fingerprint,
        lineage={"verifies": name, "digest": entry.digest},
    )


def _program(home: Home, entry: layout.ModelRecord) -> Record:
    try:
        return unpack(home.get(entry.program, entry.program_nodes))
    except (Unavailable, Corrupt) as error:
        raise Unavailable(f"its program cannot be had: {error}") from error
