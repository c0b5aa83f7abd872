"""The records of how a job has gone so far: generations, deaths, what people changed. Their znodes: layout.py. Pure."""

import msgspec

GENERATIONS_KEPT = 50  # the latest ones: a record must not grow with what a long job went through
DEATHS_KEPT = 50
REASON_LENGTH_MAX = 200
CHANGES_MAX = 1000  # of one job
REFUSALS_KEPT = 20


class PastGeneration(msgspec.Struct, frozen=True, kw_only=True):
    """A generation as it was formed: of how many workers, and why."""

    number: int
    formed_ms: int
    workers: int
    reason: str


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was lost to `generation`."""

    worker: str
    node: str
    generation: int
    at_ms: int
    reason: str


class CourseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job's generations and deaths, the latest last. `deaths_total` counts those, too, that are listed no more."""

    generations: list[PastGeneration] = []
    deaths: list[Death] = []
    deaths_total: int = 0

    def after(self, generation: PastGeneration, deaths: list[Death]) -> "CourseRecord":
        """Return the course with one more generation, and the deaths that led to it."""
        return CourseRecord(
            generations=[*self.generations, generation][-GENERATIONS_KEPT:],
            deaths=[*self.deaths, *deaths][-DEATHS_KEPT:],
            deaths_total=self.deaths_total + len(deaths),
        )


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """New values of some parameters, made to the state after `round` rounds; `request` is the wish that it fulfils."""

    round: int
    values: dict[str, float]
    request: str
    made_ms: int = 0


class ChangesRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of a running job, by round, and why the last of those were refused that are not among them, by request."""

    changes: list[Change] = []
    refused: dict[str, str] = {}


class WishRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants a running job to change; gone once it is made or refused."""

    values: dict[str, float]
