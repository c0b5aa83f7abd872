"""Which state a generation begins with, of those that its members hold. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from muskox.runtime.round_events import Holding


@dataclass(frozen=True, slots=True)
class Agreement:
    """The furthest state, the first member that holds it, and those that hold another one just as far."""

    holding: Holding
    holder: str
    odd: tuple[str, ...]


def agree(held: Mapping[str, Holding]) -> Agreement:
    """Return what to begin with; `held` by member, in rank order: of states that equally many hold, the lowest rank's counts.

    >>> here = {"a": Holding(4, "x", False), "b": Holding(5, "y", False), "c": Holding(5, "z", False)}
    >>> agree({**here, "d": Holding(5, "z", False)})
    Agreement(holding=Holding(round=5, digest='z', is_done=False), holder='c', odd=('b',))
    """
    furthest = max(holding.rank for holding in held.values())
    far = {peer: holding for peer, holding in held.items() if holding.rank == furthest}
    states = list(far.values())
    agreed = max(states, key=states.count)
    holder = next(peer for peer, holding in far.items() if holding == agreed)
    return Agreement(agreed, holder, tuple(peer for peer, holding in far.items() if holding != agreed))
