"""What a worker computes of shards that others own: to audit their results, and to help those that are late.

It brings about that the shards are at hand, and hands in what comes of it. When a round is over, or its generation, all of it
is dropped: the thread finds that out by itself.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from muskox.coordination import parse_runs
from muskox.digest import digest
from muskox.records import Record
from muskox.runtime import round_events as rounds
from muskox.runtime.collective.audit import Audit
from muskox.runtime.collective.reduction import Reduction
from muskox.runtime.computing import Abandoned, BrokenShard, Computation
from muskox.runtime.messages import Lacking
from muskox.runtime.shell import Shell

AUDIT_WAIT_S = 5.0  # for the shards of others, before a part is given without an audit

HandIn = Callable[[rounds.Event], None]
Fail = Callable[[int, BaseException], None]  # generation, why


class ForOthers:
    """See the head of this file."""

    def __init__(self, shell: Shell, computation: Computation, reduction: Reduction, hand_in: HandIn, fail: Fail) -> None:
        self._shell = shell
        self._computation = computation
        self._reduction = reduction
        self._hand_in = hand_in
        self._fail = fail
        self._audits = Audit(0.0, [], [])
        self._runs: Mapping[str, str] = {}  # of shards, by member
        self.drop()

    def form(self, audits: Audit, runs: Mapping[str, str]) -> None:
        self._audits, self._runs = audits, runs
        self.drop()

    def drop(self) -> None:
        self._held: rounds.PartComputed | None = None  # our own part, which an audit holds up
        self._audited: list[int] = []  # the shards of that audit
        self._helping: dict[str, rounds.Help] = {}  # by whom we help
        self._waiting: list[rounds.Help] = []  # those of them for which the shards are not at hand

    def brought(self) -> None:
        """Shards that we asked for are at hand."""
        if self._held is not None and self._audited and not self._computation.lacking(self._audited):
            self._audit(self._held)
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            self.help(action)

    def _have(self) -> bool:
        """Return whether all shards that we are to look at are at hand; if not, have our node bring them."""
        wanted = {shard for late in self._helping for shard in parse_runs(self._runs[late])}
        lacking = self._computation.lacking(wanted.union(self._audited))
        if lacking:
            self._shell.tell(Lacking(lacking))
        return not lacking

    # -- audits --

    def audit_then_give(self, event: rounds.PartComputed, shards: list[int]) -> None:
        """Give our part, but first compute these shards of others."""
        self._held, self._audited = event, shards
        if self._have():
            self._audit(event)
        else:
            asyncio.get_running_loop().call_later(AUDIT_WAIT_S, self._let_be, event)

    def _let_be(self, event: rounds.PartComputed) -> None:
        """Give our part without the audit if the shards for it have not come: a job must not stop for that."""
        if self._held is event and self._audited:
            self._audited = []
            self._hand_in(event)

    def _audit(self, event: rounds.PartComputed) -> None:
        shards, self._audited = self._audited, []
        checks, began_s = list(event.checks), time.monotonic()

        def is_of_no_use() -> bool:
            return self._held is not event or self._shell.newest > event.generation

        def compute() -> rounds.PartComputed:
            def check(shard: int, value: Record) -> None:
                checks.append((shard, digest(value)))

            self._computation.partials(event.round, is_of_no_use, shards, check)
            return replace(event, checks=tuple(checks), seconds=event.seconds + time.monotonic() - began_s)

        def then(audited: rounds.PartComputed, error: BaseException | None) -> None:
            if error is None:
                self._hand_in(audited)
            elif isinstance(error, BrokenShard):  # our copy tells nothing of its owner's: no audit
                self._hand_in(event)
            elif not isinstance(error, Abandoned):
                self._fail(event.generation, error)

        self._shell.do(compute, then)

    # -- help --

    def help(self, action: rounds.Help) -> None:
        """Compute another member's part, once our node has brought its shards."""
        self._helping[action.late] = action
        shards = parse_runs(self._runs[action.late])
        if self._computation.lacking(shards):
            self._waiting.append(action)
            self._have()
            return
        audited, _ = self._audits.duties(action.late, action.round)
        checks: list[tuple[int, str]] = []

        def is_of_no_use() -> bool:
            return self._helping.get(action.late) is not action or self._shell.newest > action.generation

        def check(shard: int, value: Record) -> None:
            if shard in audited:
                checks.append((shard, digest(value)))

        def compute() -> rounds.HelpComputed:
            values = self._computation.partials(action.round, is_of_no_use, shards, check)
            parts = self._reduction.parts(values, action.slices)
            return rounds.HelpComputed(action.generation, action.round, action.late, parts, tuple(checks))

        def then(event: rounds.HelpComputed, error: BaseException | None) -> None:
            if error is None:
                self._hand_in(event)
            elif not isinstance(error, Abandoned | BrokenShard):  # whose shard it is will find the same, or better
                self._fail(action.generation, error)

        self._shell.do(compute, then)
