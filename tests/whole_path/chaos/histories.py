"""A history of misfortunes, drawn from a seed: what is trained, and who meets with what at which moment. Pure.

The same seed gives the same history as long as this file stays; a failing one is told by its seed and replayed by it.
"""

import itertools
import random
from dataclasses import dataclass

KINDS = ("lbfgs", "gd", "sgd", "averaging", "evaluate", "predict", "cross-validate", "tasks")
SHORT = ("evaluate", "predict")  # of one round: nothing happens in its middle

MOMENTS = {"submitted": 2, "formed": 3, "round": 4, "committing": 4, "committed": 3, "final": 2}  # and how often each
ROUND_MAX = 40  # every kind but the short ones takes more rounds

FAULTS = {"kill": 3, "restart": 2, "pause": 3, "cut": 3, "slow": 1}
MAY_MEET = {  # a node is its process alone; a machine is a node with its workers
    "worker": ("kill", "pause", "slow"),
    "root": ("kill", "pause", "slow"),
    "node": ("kill", "restart", "pause", "cut", "slow"),
    "machine": ("kill", "restart", "pause", "slow"),
    "coordinator": ("kill", "restart", "pause", "cut", "slow"),
    "keeper": ("kill", "pause", "cut", "slow"),
    "client": ("kill",),
}
NODES = ("node", "machine", "coordinator")


@dataclass(frozen=True, slots=True)
class Blow:
    """When `moment` has come (of "round": when that round is finished), `role` meets with `fault`."""

    moment: str
    round: int
    role: str
    fault: str

    def __str__(self) -> str:
        when = f"round {self.round}" if self.moment == "round" else self.moment
        return f"{self.fault} {self.role} at {when}"


@dataclass(frozen=True, slots=True)
class History:
    """What is done (`kind`), and what happens meanwhile, in any order in which the moments come."""

    seed: int
    kind: str
    blows: tuple[Blow, ...]

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.kind}; " + ", then ".join(map(str, self.blows))


def draw_history(seed: int) -> History:
    """Return the history of `seed`: one blow, or two that two replicas can bear.

    Two nodes may be hit if one of them comes back by itself: with two replicas no data is out of reach for ever.
    """
    draw = random.Random(seed)
    kind = draw.choice(KINDS)
    blows = [_draw_blow(draw, kind)]
    if draw.random() < 0.4:
        second = _draw_blow(draw, kind)
        while second.role == blows[0].role or (_ends_a_node(blows[0]) and _ends_a_node(second)):
            second = _draw_blow(draw, kind)
        blows.append(second)
    return History(seed, kind, tuple(blows))


def _draw_blow(draw: random.Random, kind: str) -> Blow:
    role = draw.choice(sorted(MAY_MEET))
    (fault,) = draw.choices(MAY_MEET[role], [FAULTS[fault] for fault in MAY_MEET[role]])
    moments = [moment for moment in MOMENTS if kind not in SHORT or moment != "round"]
    (moment,) = draw.choices(moments, [MOMENTS[moment] for moment in moments])
    return Blow(moment, draw.randrange(1, ROUND_MAX), role, fault)


def _ends_a_node(blow: Blow) -> bool:
    return blow.role in NODES and blow.fault == "kill"


def covering_seeds() -> list[int]:
    """Return the first seeds that between them show every kind, moment, role and fault."""
    wanted = {*KINDS, *MOMENTS, *MAY_MEET, *FAULTS}
    seeds = []
    for seed in itertools.count():
        history = draw_history(seed)
        shown = {history.kind, *(word for blow in history.blows for word in (blow.moment, blow.role, blow.fault))}
        if shown & wanted:
            seeds.append(seed)
            wanted -= shown
        if not wanted:
            break
    return seeds
