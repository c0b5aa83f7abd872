"""A worker's own values of one round, computed as soon as the state for them is there.

The thread goes on to them right from the update: the way to the machine, which will ask for them, and back would cost as much
as a small round. Should it not ask, since a generation was formed meanwhile, they are dropped.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from muskox.digest import digest
from muskox.records import Record
from muskox.runtime.computing import Computation
from muskox.runtime.shell import Shell
from muskox.tree import Node


@dataclass(frozen=True, slots=True)
class Computed:
    """Values by tree node, the seconds that they took, and (shard, digest) of those that are audited."""

    values: dict[Node, Record]
    seconds: float
    checks: tuple[tuple[int, str], ...]


class OwnValues:
    """The values of one round.

    audited : the shards of our own whose results are audited
    others : the shards of others that we are to audit in this round
    found : Computed, or what went wrong; None until the thread is done
    """

    def __init__(self, generation: int, round_: int, audited: list[int], others: list[int]) -> None:
        self.generation, self.round = generation, round_
        self.others = others
        self.found: Computed | BaseException | None = None
        self._audited = audited
        self._is_dropped = False

    def drop(self) -> None:
        """They are of no use any more: the thread may stop."""
        self._is_dropped = True

    def begin(self, shell: Shell, computation: Computation, then: Callable[["OwnValues"], None]) -> None:
        """Have the thread compute them, after what it does now; `then` hears of it unless they are dropped meanwhile."""
        checks: list[tuple[int, str]] = []

        def check(shard: int, value: Record) -> None:
            if shard in self._audited:
                checks.append((shard, digest(value)))

        def is_of_no_use() -> bool:
            return self._is_dropped or shell.newest > self.generation or computation.is_done

        def compute() -> Computed:
            began_s = time.monotonic()
            values = computation.partials(self.round, is_of_no_use, seen=check)
            return Computed(values, time.monotonic() - began_s, tuple(checks))

        def ended(found: Computed, error: BaseException | None) -> None:
            if not self._is_dropped:
                self.found = found if error is None else error
                then(self)

        shell.do(compute, ended)
