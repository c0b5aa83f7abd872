"""Progress: whether another epoch is worth while, as pure functions of a record of plain numbers."""

from dataclasses import dataclass

from muskox.records import Record

RATE_MIN = 1e-6  # of "adaptive": below it nothing moves any more, as in scikit-learn
RATE_FALL = 5.0


@dataclass(frozen=True, slots=True)
class Patience:
    """When to stop.

    tol : an epoch that lowers the loss by less than it below the best so far is stale; None never stops
    epochs : how many stale ones in a row are too many
    is_adaptive : whether the rate falls first
    """

    tol: float | None
    epochs: int
    is_adaptive: bool


def begin(rate: float) -> Record:
    """Return the progress before the first epoch."""
    return {"best": None, "stale": 0, "rate": rate, "improved": False, "finished": False}


def judge(progress: Record, loss: float, patience: Patience, *, is_still: bool = False) -> Record:
    """Return the progress after an epoch whose loss was `loss`; `is_still` says that the parameters hardly moved."""
    best = progress["best"]
    stale = progress["stale"]
    if patience.tol is not None:
        is_stale = is_still or (best is not None and loss > best - patience.tol)
        stale = stale + 1 if is_stale else 0
    improved = best is None or loss < best
    rate, finished = progress["rate"], False
    if patience.tol is not None and stale >= patience.epochs:
        if patience.is_adaptive and rate > RATE_MIN:
            rate, stale = rate / RATE_FALL, 0
        else:
            finished = True
    return {
        "best": loss if improved else best,
        "stale": stale,
        "rate": rate,
        "improved": improved,
        "finished": finished,
    }
