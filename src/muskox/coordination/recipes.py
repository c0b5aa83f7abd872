"""Locks, barriers, semaphores and queues for users: kazoo's recipes, plus a fence number.

A lock alone does not exclude: its holder may be paused past its session while another takes it. The fence (the zxid at which
the holder's contender was created) grows from holder to holder: hand it to whatever the lock guards, and have that refuse any
number lower than the highest seen.
"""

from types import TracebackType
from typing import Any, Self

from kazoo.exceptions import KazooException, LockTimeout
from kazoo.recipe.barrier import Barrier, DoubleBarrier
from kazoo.recipe.lock import Lock as KazooLock
from kazoo.recipe.lock import Semaphore as KazooSemaphore
from kazoo.recipe.queue import LockingQueue

from muskox.coordination import layout
from muskox.coordination.session import Session
from muskox.errors import CallerError, Unavailable

__all__ = ["Barrier", "DoubleBarrier", "Lock", "LockingQueue", "Semaphore", "barrier", "queue"]


class _Fenced:
    """What a lock and a semaphore share: acquire, release, and the fence of the current hold."""

    _kind: str

    def __init__(self, session: Session, recipe: Any, name: str) -> None:
        self._session = session
        self._recipe = recipe
        self._name = name
        self._fence: int | None = None

    @property
    def fence(self) -> int:
        """The number that grows from holder to holder; CallerError while not held."""
        if self._fence is None:
            raise CallerError(f"{self._kind} {self._name!r} is not held, so it has no fence")
        return self._fence

    def _contender(self) -> str:
        raise NotImplementedError

    def acquire(self, timeout_s: float | None = None) -> int:
        """Wait until held and return the fence; Unavailable after `timeout_s` seconds."""
        client = self._session.kazoo
        try:
            held = self._recipe.acquire(timeout=timeout_s)
            stat = client.retry(client.exists, self._contender()) if held else None
        except LockTimeout:
            held = False
        except ValueError as error:
            raise CallerError(f"{self._kind} {self._name!r}: {error}") from error
        except KazooException as error:
            self._recipe.release()
            raise Unavailable(f"{self._kind} {self._name!r} was not taken: {type(error).__name__}") from error
        if not held:
            raise Unavailable(f"{self._kind} {self._name!r} was not free within {timeout_s} s")
        if stat is None:
            self._recipe.release()
            raise Unavailable(f"the session was lost while {self._kind} {self._name!r} was taken: try again")
        self._fence = int(stat.czxid)
        return self._fence

    def release(self) -> None:
        self._fence = None
        self._recipe.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class Lock(_Fenced):
    """A fair, fenced lock: ``with cluster.lock("report") as lock: storage.write(data, fence=lock.fence)``."""

    _kind = "lock"

    def __init__(self, session: Session, name: str) -> None:
        self._path = layout.recipe("locks", name)
        super().__init__(session, KazooLock(session.kazoo, self._path), name)

    def _contender(self) -> str:
        return f"{self._path}/{self._recipe.node}"


class Semaphore(_Fenced):
    """At most `leases` holders at a time, each with its fence."""

    _kind = "semaphore"

    def __init__(self, session: Session, name: str, leases: int) -> None:
        if leases < 1:
            raise CallerError(f"semaphore {name!r} needs at least one lease, not {leases}")
        self._path = layout.recipe("semaphores", name)
        super().__init__(session, KazooSemaphore(session.kazoo, self._path, max_leases=leases), name)

    def _contender(self) -> str:
        return str(self._recipe.create_path)


def barrier(session: Session, name: str, parties: int | None = None) -> Barrier | DoubleBarrier:
    """Return a barrier that stands until removed, or with `parties` one that all of them enter and leave together."""
    path = layout.recipe("barriers", name)
    return Barrier(session.kazoo, path) if parties is None else DoubleBarrier(session.kazoo, path, parties)


def queue(session: Session, name: str) -> LockingQueue:
    """Return a queue of bytes whose entries survive a consumer that dies: `get`, work, then `consume`."""
    return LockingQueue(session.kazoo, layout.recipe("queues", name))
