"""What a worker knows of changes of parameters in one generation: those recorded, and at the root those wished for. Pure.

A change is part of the step from one state to the next: whoever computes the state after its round makes it, in the order of
the record, and nobody ever makes it to a state that is held already.
"""

from collections.abc import Container, Iterable

import msgspec

from muskox.runtime.messages import Adjustment


class Adjustments:
    """See the head of this file. `recorded` are those that the generation began with."""

    def __init__(self, recorded: Iterable[Adjustment] = ()) -> None:
        self._recorded = {change.request: change for change in recorded}
        self._wished: tuple[Adjustment, ...] = ()
        self._asked: tuple[Adjustment, ...] = ()

    @property
    def is_recording(self) -> bool:
        """Whether changes are on their way into the record: until they stand, the root keeps its part of the round."""
        return bool(self._asked)

    def wish(self, changes: Iterable[Adjustment]) -> None:
        """These, and no others, are wished for now."""
        known = {*self._recorded, *(change.request for change in self._asked)}
        self._wished = tuple(change for change in changes if change.request not in known)

    def take(self, round_: int) -> tuple[Adjustment, ...]:
        """Return what is to be recorded for the state after that round; nothing while something else is."""
        if self._asked:
            return ()
        self._asked, self._wished = tuple(msgspec.structs.replace(change, round=round_) for change in self._wished), ()
        return self._asked

    def stand(self, changes: Iterable[Adjustment]) -> None:
        """Of what was asked for, these stand in the record."""
        self._asked = ()
        self._recorded |= {change.request: change for change in changes}

    def are_missing(self, round_: int, made: Container[str]) -> bool:
        """Return whether a state after that round lacks a recorded change, if these were `made` to it."""
        return any(change.round <= round_ and change.request not in made for change in self._recorded.values())

    @property
    def requests(self) -> set[str]:
        """Those recorded, as far as they are known."""
        return set(self._recorded)

    def due(self, round_: int, told: Iterable[Adjustment]) -> tuple[Adjustment, ...]:
        """Return what is to be made to the state after that round; `told` came with the round itself."""
        known = tuple(change for change in self._recorded.values() if change.round == round_)
        return (*known, *(change for change in told if change.request not in self._recorded))
