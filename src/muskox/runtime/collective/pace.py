"""Who is persistently slower than the others, by what the root is told of every round's seconds. Pure."""

import statistics
from collections.abc import Mapping

SLOW_RATIO = 1.5  # of the median seconds a row: what a fair share cannot even out
SLOW_S_MIN = 0.02  # a round shorter than this is not worth moving shards for
SLOW_ROUNDS = 5  # in a row: one slow round is chance
TELL_S = 10.0  # between two words of it: shards that move cost more than they gain for a while


class Pace:
    """Of one generation; `rows` are those that each member owns."""

    def __init__(self, rows: Mapping[str, int]) -> None:
        self._rows = rows
        self._slow: dict[str, int] = {}  # rounds in a row
        self._told_s: float | None = None

    def hear(self, seconds: Mapping[str, float], now: float) -> dict[str, float] | None:
        """Return every member's seconds a row if somebody is persistently slow, and that was not said a moment ago."""
        by_row = {peer: value / self._rows[peer] for peer, value in seconds.items() if self._rows.get(peer)}
        usual = statistics.median(by_row.values()) if by_row else 0.0
        slow = [peer for peer, value in by_row.items() if value > SLOW_RATIO * usual and seconds[peer] > SLOW_S_MIN]
        self._slow = {peer: self._slow.get(peer, 0) + 1 for peer in slow}
        is_persistent = any(count >= SLOW_ROUNDS for count in self._slow.values())
        if not is_persistent or (self._told_s is not None and now - self._told_s < TELL_S):
            return None
        self._told_s = now
        return by_row
