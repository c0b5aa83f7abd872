"""When a round's phases ended, and how long others may take for theirs. Pure."""

from collections.abc import Mapping

LATE_RATIO = 2.0  # of the others' usual seconds, and
LATE_S_MIN = 0.5  # on top of that: then a member's part is computed by another, too
HUNG_RATIO = 10.0  # of what we needed ourselves for so many rows, and
HUNG_S_MIN = 60.0  # on top of that: then the root, which nobody helps, is taken for hung


class RoundTimes:
    """Of one round, in seconds of whoever's clock tells `now`."""

    def __init__(self, began_s: float = 0.0) -> None:
        self.began_s = began_s
        self.computed_s = 0.0
        self.gathered_s = 0.0
        self.merged_s = 0.0

    def is_late(self, usual_s: float, now: float) -> bool:
        """Return whether who has not given its part yet takes too long; `usual_s` are the others' seconds."""
        return now - self.began_s > LATE_RATIO * usual_s + LATE_S_MIN

    def is_hung(self, expected_s: float, now: float) -> bool:
        """Return whether it takes so long that it may never come."""
        return now - self.began_s > HUNG_RATIO * expected_s + HUNG_S_MIN

    def phases(self, seconds: Mapping[str, float], now: float) -> dict[str, float]:
        """Return the seconds of each phase; `seconds` are those that members computed."""
        return {
            "compute": max(seconds.values(), default=0.0),
            "wait": max(self.gathered_s - self.computed_s, 0.0),
            "reduce": self.merged_s - max(self.gathered_s, self.computed_s),
            "update": now - self.merged_s,
            "round": now - self.began_s,
        }
