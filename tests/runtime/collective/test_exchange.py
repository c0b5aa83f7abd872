"""One generation's rounds as messages: who is odd, whose word counts, and what helpers send to whom."""

from collections import deque
from collections.abc import Sequence

import pytest

from muskox.runtime import round_events as rounds
from muskox.runtime.collective.audit import Audit
from muskox.runtime.collective.exchange import Exchange
from muskox.runtime.collective.topology import Form, Topology, order_of
from muskox.runtime.collective.values import Part
from muskox.runtime.messages import Partial

STATE = "the state"


def part(member: int = 0) -> Part:
    return Part(((0, member),), (1,), b"x")


class Round:
    """One round of a generation of `members` workers, each on a node of its own with a shard of its own."""

    def __init__(self, members: int, form: Form, slices: int = 0, states: Sequence[str] = ()) -> None:
        self.names = [f"n{rank:03d}.aa.1" for rank in range(members)]
        self.runs = [str(rank) for rank in range(members)]
        order = order_of(self.runs)
        self.at = [Exchange(1, self.names, rank, Topology(order, rank)) for rank in range(members)]
        self.out: list[tuple[int, rounds.Action]] = []
        self._way: deque[tuple[int, rounds.Send]] = deque()
        for rank, exchange in enumerate(self.at):
            total_bytes = slices * (1 << 14)
            exchange.begin(0, states[rank] if states else STATE, form, slices > 0, total_bytes)

    def perform(self, rank: int, actions: list[rounds.Action]) -> None:
        for action in actions:
            match action:
                case rounds.Send():
                    self._way.append((rank, action))
                case rounds.Reduce():
                    nodes = tuple(node for one in action.parts for node in one.nodes)
                    merged = Part(nodes, (1,) * len(nodes), b"x" * len(nodes))
                    self.perform(rank, self.at[rank].merged(action.slice, merged))
                case _:
                    self.out.append((rank, action))

    def deliver(self) -> None:
        while self._way:
            sender, send = self._way.popleft()
            to = self.names.index(send.peer)
            if isinstance(send.message, Partial):
                self.perform(to, self.at[to].arrive(self.names[sender], send.message, send.body))
            else:
                self.perform(to, self.at[to].descend(self.names[sender], send.message, send.body))  # type: ignore[arg-type]

    def compute(self, rank: int, checks: Sequence[tuple[int, str]] = ()) -> None:
        slices = max(self.at[rank].slices, 1)
        self.perform(rank, self.at[rank].compute((part(rank),) * slices, 1.0, checks))

    def audited(self, rank: int, wrong: int) -> list[tuple[int, str]]:
        """Return what a member tells of an audit of all shards, if `wrong` computes its own shard wrongly."""
        own, others = Audit(1.0, self.names, self.runs).duties(self.names[rank], 0)
        return [(shard, "wrong" if rank == wrong == shard else "right") for shard in (*own, *others)]


@pytest.mark.parametrize(("members", "form"), [(3, Form.EXCHANGE), (17, Form.TREE), (18, Form.TREE), (40, Form.TREE)])
def test_an_audit_finds_the_odd_one_wherever_it_is_and_never_gives_up(members: int, form: Form) -> None:
    for wrong in range(members):
        round_ = Round(members, form)
        for rank in range(members):
            round_.compute(rank, round_.audited(rank, wrong))
        round_.deliver()
        assert round_.out, "it was found"
        for _, action in round_.out:
            assert isinstance(action, rounds.Suspect) and action.peer == round_.names[wrong]


def test_while_a_third_word_is_late_nobody_is_accused_and_the_job_goes_on() -> None:
    round_ = Round(4, Form.EXCHANGE)
    late = next(rank for rank in (2, 3) if 1 in Audit(1.0, round_.names, round_.runs).duties(round_.names[rank], 0)[1])
    for rank in range(4):
        if rank != late:
            round_.compute(rank, round_.audited(rank, wrong=1))
    round_.deliver()
    for rank in range(4):
        round_.perform(rank, round_.at[rank].race(0, round_.names[late], round_.names[0]))
    round_.perform(0, round_.at[0].help(0, round_.names[late], (part(late),)))
    round_.deliver()
    assert not any(isinstance(action, rounds.GiveUp) for _, action in round_.out)
    accused = {rank: action.peer for rank, action in round_.out if isinstance(action, rounds.Suspect)}
    assert accused == {rank: round_.names[rank] for rank in accused}, "who cannot decide has the round done again without it"


def test_two_who_differ_without_a_third_worker_end_the_job() -> None:
    round_ = Round(2, Form.EXCHANGE)
    for rank in range(2):
        round_.compute(rank, round_.audited(rank, wrong=1))
    round_.deliver()
    assert {type(action) for _, action in round_.out} == {rounds.GiveUp}


def test_a_helper_has_one_voice() -> None:
    """b computes from another state, and for c, which is late: two to one against a, if that counted twice."""
    round_ = Round(3, Form.EXCHANGE, states=[STATE, "another", STATE])
    for rank in (0, 1):
        round_.compute(rank)
    for rank in range(3):
        round_.perform(rank, round_.at[rank].race(0, round_.names[2], round_.names[1]))
    round_.perform(1, round_.at[1].help(0, round_.names[2], (part(2),)))
    round_.deliver()
    assert [action for rank, action in round_.out if rank == 0] == [
        rounds.Suspect(round_.names[1], "it computes round 0 from another state")
    ]


@pytest.mark.parametrize("is_told_early", [True, False])
def test_who_stands_in_for_a_late_member_gets_all_parts_of_its_slice(is_told_early: bool) -> None:
    """Also from who hears of the race before it begins the round, and those that were computed for others that are late."""
    round_ = Round(4, Form.SLICES, slices=4)
    late, later = 2, 3
    for rank in (0, 1):
        round_.compute(rank)
    if is_told_early:
        fresh = Exchange(1, round_.names, 1, Topology(order_of(round_.runs), 1))
        assert fresh.race(0, round_.names[late], round_.names[0]) == []
        fresh.begin(0, STATE, Form.SLICES, True, 4 << 14)
        round_.at[1] = fresh
        round_.compute(1)
    else:
        round_.perform(1, round_.at[1].race(0, round_.names[late], round_.names[0]))
    round_.perform(0, round_.at[0].race(0, round_.names[late], round_.names[0]))
    round_.perform(0, round_.at[0].help(0, round_.names[late], (part(late),) * 4))
    round_.deliver()
    for rank in (0, 1):  # the last member turns out to be late, too, and the other helps
        round_.perform(rank, round_.at[rank].race(0, round_.names[later], round_.names[1]))
    round_.perform(1, round_.at[1].help(0, round_.names[later], (part(later),) * 4))
    round_.deliver()
    assert all(round_.at[rank].find_total() is not None for rank in (0, 1))


def test_what_a_helper_computes_is_audited_as_its_own_result() -> None:
    round_ = Round(4, Form.EXCHANGE)
    audit, late = Audit(1.0, round_.names, round_.runs), 1
    auditor = next(rank for rank in (2, 3, 0) if late in audit.duties(round_.names[rank], 0)[1])
    helper = next(rank for rank in (0, 2, 3) if late not in audit.duties(round_.names[rank], 0)[1])
    for rank in (0, 2, 3):
        round_.compute(rank, round_.audited(rank, wrong=-1))
    for rank in (0, 2, 3):
        round_.perform(rank, round_.at[rank].race(0, round_.names[late], round_.names[helper]))
    round_.perform(helper, round_.at[helper].help(0, round_.names[late], (part(late),), [(late, "wrong")]))
    round_.deliver()
    assert auditor != helper
    accused = {rank: action.peer for rank, action in round_.out if isinstance(action, rounds.Suspect)}
    assert accused == dict.fromkeys(range(4), round_.names[helper]), "by all, the late one, too"
