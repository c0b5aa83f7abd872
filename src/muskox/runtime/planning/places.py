"""Who runs, and where: places for workers on nodes, by priority, fair share and order of submission. Pure.

A place is what one worker of a job takes of a node: cores, memory, GPUs. First every job gets the least that it needs, in the
order of the queue; a job for which that does not fit waits. Then what is left is given out one place at a time, in the same
order, until everybody has the most it can use. The queue: the higher priority first; within a priority the user with the least
dominant share of the cluster (Ghodsi et al., Dominant resource fairness, NSDI 2011); of one user whatever was submitted first.

How many places each job gets is a function of jobs and nodes alone, not of who has what now: so nothing ever goes to and fro.
Who has places already keeps them where it can (:func:`_settle`).
"""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from muskox.coordination import layout
from muskox.runtime.planning.picture import JobView, Picture

NAMES_MAX = 3  # of jobs that a reason names
TIMES_KNOWN_MAX = 10_000  # pairs of what jobs need and nodes have: few of either differ


class Amount(NamedTuple):
    """Cores in thousandths, bytes of memory, GPUs: whole numbers, so that what was taken can be given back to the last bit."""

    millicores: int
    memory_bytes: int
    gpus: int


ALL_MEMORY = 1 << 62  # of a node that does not say how much it has


@dataclass(frozen=True, slots=True)
class Allocation:
    """How many workers each job has on each node; and why those that have none wait."""

    staff: Mapping[str, Mapping[str, int]]
    reasons: Mapping[str, str]


def allocate(picture: Picture) -> Allocation:
    """Return who runs where, so that no node gives more than it has."""
    members = picture.open
    offers = {name: _left(name, picture) for name in members}
    wishes = [_wish(job, members, offers) for job in picture.jobs]
    able = sorted((wish for wish in wishes if wish.can_run), key=lambda wish: (-wish.job.record.priority, *wish.order))
    _Shareout(offers, able).run()
    staff = _settle(picture.assignments, offers, [wish for wish in able if wish.staff])
    reasons = {wish.job.id: _reason(wish, wishes, picture) for wish in wishes if not wish.staff}
    return Allocation(staff, reasons)


def offer(member: layout.MemberRecord) -> Amount:
    """Return what a node has."""
    return Amount(member.cores * 1000, member.memory_bytes or ALL_MEMORY, member.gpus)


def _left(node: str, picture: Picture) -> Amount:
    """Return what a node has beside what it gives to jobs that could not be seen."""
    left = list(offer(picture.members[node]))
    for job_id, count in picture.assignments.get(node, {}).items():
        record = picture.unseen.get(job_id)
        if record is not None:
            left = [max(has - count * amount, 0) for has, amount in zip(left, demand(record), strict=True)]
    return Amount(*left)


def demand(record: layout.JobRecord) -> Amount:
    """Return what one worker of the job takes."""
    return Amount(max(round(record.cores * 1000), 1), record.memory_bytes, record.gpus)


def fits(need: Amount, free: Sequence[int]) -> bool:
    return need[0] <= free[0] and need[1] <= free[1] and need[2] <= free[2]


@dataclass(slots=True)
class _Wish:
    """One job's wish: so many places on these nodes, the preferred first; and what it got."""

    job: JobView
    need: Amount
    nodes: list[str]
    least: int
    most: int
    on_a_node: int
    fit: int  # how many places there would be if nobody else were there
    staff: dict[str, int] = field(default_factory=dict)
    count: int = 0
    ring: list[str] = field(default_factory=list)  # those of the nodes that may have room for one more
    turn: int = 0  # which of them is asked next

    @property
    def can_run(self) -> bool:
        return self.fit >= self.least

    @property
    def order(self) -> tuple[int, str]:
        return self.job.record.submitted_ms, self.job.id


def _wish(job: JobView, members: Mapping[str, layout.MemberRecord], offers: Mapping[str, Amount]) -> _Wish:
    """Return what the job could use: "one a node" if it asked for no number, and nothing on nodes where its workers die."""
    held, sick, need = job.replicas.held, job.sick, demand(job.record)
    nodes = [name for name, member in members.items() if member.fingerprint == job.record.fingerprint and name not in sick]
    nodes.sort(key=lambda name: (-held.get(name, 0), name))
    least, asked = job.workers_min, job.record.workers
    on_a_node = max(asked or -(-least // max(len(nodes), 1)), 1)
    most = max(min(asked or len(nodes), job.useful_max), least)
    fit = sum(min(times(need, offers[name]), on_a_node) for name in nodes)
    return _Wish(job, need, nodes, least, most, on_a_node, fit, ring=list(nodes))


@lru_cache(TIMES_KNOWN_MAX)
def times(need: Amount, has: Amount) -> int:
    """Return how many times a node has what is needed."""
    return min(there // wanted for wanted, there in zip(need, has, strict=True) if wanted)


class _Hall:
    """What is still free on each node."""

    def __init__(self, offers: Mapping[str, Amount]) -> None:
        self.free = {name: list(amount) for name, amount in offers.items()}

    def take(self, node: str, need: Amount) -> bool:
        """Take a place there; return whether there was one."""
        free = self.free[node]
        if not fits(need, free):
            return False
        for kind, amount in enumerate(need):
            free[kind] -= amount
        return True

    def give_back(self, node: str, need: Amount, times: int) -> None:
        for kind, amount in enumerate(need):
            self.free[node][kind] += amount * times


class _Shareout:
    """Decides how many places each wish gets, of wishes in the order of priority and submission. See the head of this file."""

    def __init__(self, offers: Mapping[str, Amount], wishes: Sequence[_Wish]) -> None:
        self._hall = _Hall(offers)
        self._wishes = wishes
        says = all(amount.memory_bytes != ALL_MEMORY for amount in offers.values())
        total = [sum(amount[kind] for amount in offers.values()) for kind in range(len(Amount._fields))]
        self._total = [total[0], total[1] if says else 0, total[2]]
        self._used: dict[str, list[int]] = {wish.job.record.user: [0, 0, 0] for wish in wishes}

    def run(self) -> None:
        by_priority: dict[int, list[_Wish]] = {}
        for wish in self._wishes:
            by_priority.setdefault(wish.job.record.priority, []).append(wish)
        levels = list(by_priority.values())
        for wishes in levels:
            self._give_least(wishes)
        for wishes in levels:
            placed = [wish for wish in wishes if wish.staff]
            if not self._give_all(placed):
                self._give_by_turns(placed)

    def _give_least(self, wishes: Sequence[_Wish]) -> None:
        lines: dict[str, deque[_Wish]] = {}
        for wish in wishes:
            lines.setdefault(wish.job.record.user, deque()).append(wish)
        queue = [(self._share(user), *line[0].order, user) for user, line in lines.items()]
        heapq.heapify(queue)
        while queue:
            user = queue[0][-1]
            line = lines[user]
            wish = line.popleft()
            if not all(self._grow(wish) for _ in range(wish.least)):
                self._clear(wish)
            if line:
                heapq.heapreplace(queue, (self._share(user), *line[0].order, user))
            else:
                heapq.heappop(queue)

    def _give_all(self, wishes: Sequence[_Wish]) -> bool:
        """Give everybody the most it can use, if there is enough for all; return whether there was."""
        kept = [(wish, dict(wish.staff), wish.count, wish.turn, list(wish.ring)) for wish in wishes]
        free = {name: list(amounts) for name, amounts in self._hall.free.items()}
        used = {user: list(amounts) for user, amounts in self._used.items()}
        if all(self._grow(wish) for wish in wishes for _ in range(wish.most - wish.count)):
            return True
        for wish, staff, count, turn, ring in kept:
            wish.staff, wish.count, wish.turn, wish.ring = staff, count, turn, ring
        self._hall.free, self._used = free, used
        return False

    def _give_by_turns(self, wishes: Sequence[_Wish]) -> None:
        """Give out one place at a time, always to the user with the least share, until nobody can use another."""
        lines: dict[str, deque[_Wish]] = {}
        for wish in wishes:
            lines.setdefault(wish.job.record.user, deque()).append(wish)
        queue = [(self._share(user), *line[0].order, user) for user, line in lines.items()]
        heapq.heapify(queue)
        while queue:
            user = queue[0][-1]
            line = lines[user]
            while line and not (line[0].count < line[0].most and self._grow(line[0])):
                line.popleft()
            if line:
                heapq.heapreplace(queue, (self._share(user), *line[0].order, user))
            else:
                heapq.heappop(queue)

    def _grow(self, wish: _Wish) -> bool:
        """Give the wish one more place, on a node where it has fewest; return whether there was one."""
        while wish.ring:
            wish.turn %= len(wish.ring)
            node = wish.ring[wish.turn]
            if wish.staff.get(node, 0) < wish.on_a_node and self._hall.take(node, wish.need):
                wish.staff[node] = wish.staff.get(node, 0) + 1
                wish.count += 1
                wish.turn += 1
                self._account(wish, 1)
                return True
            del wish.ring[wish.turn]  # it will not fit there later either: what is free only gets less
        return False

    def _clear(self, wish: _Wish) -> None:
        """Take back the places of a wish that did not get its least: it waits."""
        for node, times in wish.staff.items():
            self._hall.give_back(node, wish.need, times)
            self._account(wish, -times)
        wish.staff, wish.count = {}, 0

    def _account(self, wish: _Wish, times: int) -> None:
        used = self._used[wish.job.record.user]
        for kind, amount in enumerate(wish.need):
            used[kind] += times * amount

    def _share(self, user: str) -> float:
        """Return the user's dominant share: of that of which it has the largest part."""
        used = self._used[user]
        return max((part / whole for part, whole in zip(used, self._total, strict=True) if whole), default=0.0)


def _settle(
    assignments: Mapping[str, Mapping[str, int]], offers: Mapping[str, Amount], wishes: Sequence[_Wish]
) -> dict[str, dict[str, int]]:
    """Return where the places are: as many as the share-out gave, but where the jobs have theirs already.

    If not all can keep theirs, the first half of the jobs do, or the first quarter, and so on; at last all are where the
    share-out found them. Nobody keeps more on a node than the share-out gives it on its fullest, so that one more node takes
    its part. What was settled once is settled the same way again: then all keep theirs.
    """
    has: dict[str, dict[str, int]] = {}
    for node, jobs in assignments.items():
        for job_id, times in jobs.items():
            has.setdefault(job_id, {})[node] = times
    keepers = len(wishes)
    while keepers:
        hall = _Hall(offers)
        keeping = {wish.job.id: has.get(wish.job.id, {}) for wish in wishes[:keepers]}
        settled = {wish.job.id: _kept(wish, keeping.get(wish.job.id, {}), hall) for wish in wishes}
        if all(_completed(wish, settled[wish.job.id], hall) for wish in wishes):
            return {job_id: {node: times for node, times in sorted(here.items()) if times} for job_id, here in settled.items()}
        keepers //= 2
    return {wish.job.id: dict(sorted(wish.staff.items())) for wish in wishes}


def _kept(wish: _Wish, has: Mapping[str, int], hall: _Hall) -> dict[str, int]:
    """Return which of the places that it has the wish keeps, by node; for all of its nodes."""
    here, left, fullest = dict.fromkeys(wish.nodes, 0), wish.count, max(wish.staff.values())
    for node, times in sorted(has.items()):
        if node in here:
            here[node] = sum(hall.take(node, wish.need) for _ in range(min(times, left, fullest)))
            left -= here[node]
    return here


def _completed(wish: _Wish, here: dict[str, int], hall: _Hall) -> bool:
    """Add the places that are missing, where it has fewest; return whether there was room for them."""
    left = wish.count - sum(here.values())
    for level in range(max(wish.staff.values())):
        for node in wish.nodes if left else ():
            if left and here[node] <= level and hall.take(node, wish.need):
                here[node] += 1
                left -= 1
    return not left


def _reason(wish: _Wish, wishes: Sequence[_Wish], picture: Picture) -> str:
    """Return why the job has no place: what it needs, what there is, and who has it."""
    fingerprint = wish.job.record.fingerprint
    fitting = [member for member in picture.members.values() if member.fingerprint == fingerprint]
    if not fitting:
        have = ", ".join(sorted({member.fingerprint for member in picture.members.values()})) or "none"
        return f"no node computes with the numeric fingerprint {fingerprint}; those here: {have}"
    if not wish.nodes:
        return "every node that could run it is leaving, being emptied, or one on which its workers keep dying"
    if not wish.fit:
        largest = max((offer(picture.members[name]) for name in wish.nodes), key=lambda amount: (amount.gpus, *amount))
        return f"each worker takes {_words(wish.need)}, and no node has that much: the largest has {_words(largest, wish.need)}"
    if wish.fit < wish.least:
        return f"it needs {wish.least} workers with {_words(wish.need)} each, and {wish.fit} fit on the nodes that are here"
    return _contention(wish, wishes, picture)


def _contention(wish: _Wish, wishes: Sequence[_Wish], picture: Picture) -> str:
    """Return who has what the job waits for: of that which is scarcest."""
    nodes = set(wish.nodes)
    whole = [0, 0, 0]
    for name in nodes:
        whole = [sum(pair) for pair in zip(whole, offer(picture.members[name]), strict=True)]
    used, users = [0, 0, 0], []
    for other in sorted(wishes, key=lambda other: (-other.job.record.priority, other.order)):
        times = sum(count for node, count in other.staff.items() if node in nodes)
        if times:
            used = [amount + times * one for amount, one in zip(used, other.need, strict=True)]
            users.append(other.job.id)
    asked = [index for index, need in enumerate(wish.need) if need]
    kind = max(asked, key=lambda index: (used[index] / max(whole[index], 1), -index))
    waits = _word(kind, wish.need[kind] * wish.least)
    more = f" and {len(users) - NAMES_MAX} more" if len(users) > NAMES_MAX else ""
    has = _word(kind, used[kind]).partition(" ")[0]
    head = "suspended: it waits" if wish.job.generation.number else "waits"
    return f"{head} for {waits}: {has} of {_word(kind, whole[kind])} in use by {', '.join(users[:NAMES_MAX])}{more}"


def _words(amount: Amount, asked: Amount | None = None) -> str:
    """Return an amount in words; of what is not asked for nothing is said."""
    return ", ".join(_word(kind, value) for kind, value in enumerate(amount) if (value if asked is None else asked[kind]))


def _word(kind: int, value: int) -> str:
    match kind:
        case 0:
            return f"{value / 1000:g} core{'' if value == 1000 else 's'}"
        case 1:
            return f"{value / 1e9:.3g} GB of memory"
        case _:
            return f"{value} GPU{'' if value == 1 else 's'}"
