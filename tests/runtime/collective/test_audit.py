"""Who audits what: chosen alike by all, on other nodes where there are such, and a dispute that names the odd one."""

import pytest

from muskox.runtime.collective.audit import Audit, find_odd

MEMBERS = ["n1.aa.1", "n1.aa.2", "n2.bb.1", "n3.cc.1"]
RUNS = ["0-3", "4-7", "8-11", "12-15"]


def test_every_audited_shard_is_told_by_its_owner_and_computed_by_two_on_other_nodes() -> None:
    audit = Audit(0.3, MEMBERS, RUNS)
    seen = 0
    for round_ in range(20):
        duties = {worker: audit.duties(worker, round_) for worker in MEMBERS}
        told = [(shard, worker) for worker, (own, _) in duties.items() for shard in own]
        for shard, owner in told:
            auditors = [worker for worker, (_, others) in duties.items() if shard in others]
            assert len(auditors) == 2 and all(worker.split(".")[0] != owner.split(".")[0] for worker in auditors)
        assert sum(len(others) for _, others in duties.values()) == 2 * len(told)
        seen += len(told)
    assert seen / (20 * 16) == pytest.approx(0.3, abs=0.1)


@pytest.mark.parametrize(("share", "members"), [(0.0, MEMBERS), (1.0, MEMBERS[:1])])
def test_nobody_audits_without_need_or_without_others(share: float, members: list[str]) -> None:
    audit = Audit(share, members, RUNS[: len(members)])
    assert audit.duties(members[0], 3) == ([], [])


def test_two_audit_each_other() -> None:
    audit = Audit(1.0, MEMBERS[:2], ["0", "1"])
    assert audit.duties(MEMBERS[0], 0) == ([0], [1])
    assert audit.duties(MEMBERS[1], 0) == ([1], [0])


@pytest.mark.parametrize(
    ("found", "odd"),
    [
        ({"a": "x"}, None),
        ({"a": "x", "b": "x", "c": "y"}, "c"),
        ({"a": "y", "b": "x", "c": "x"}, "a"),
        ({"a": "x", "b": "y"}, ""),
    ],
)
def test_the_odd_one_of_three_is_named(found: dict[str, str], odd: str | None) -> None:
    assert find_odd(found) == odd
