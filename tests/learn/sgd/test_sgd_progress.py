"""Progress: stale epochs end a training, or lower its rate first."""

from muskox.learn.sgd import progress
from muskox.learn.sgd.progress import Patience


def after(losses: list[float], patience: Patience) -> dict:
    state = progress.begin(0.1)
    for loss in losses:
        state = progress.judge(state, loss, patience)
    return state


def test_a_training_ends_after_so_many_stale_epochs() -> None:
    patience = Patience(0.01, 2, False)
    assert not after([1.0, 0.995], patience)["finished"]
    assert after([1.0, 0.995, 0.992], patience)["finished"]
    assert not after([1.0, 0.995, 0.9, 0.895], patience)["finished"], "an epoch between them was not stale"


def test_without_a_tolerance_it_never_ends() -> None:
    assert not after([1.0] * 50, Patience(None, 1, False))["finished"]


def test_adaptive_lowers_its_rate_before_it_ends() -> None:
    patience = Patience(0.01, 2, True)
    state = after([1.0, 1.0, 1.0], patience)
    assert (state["rate"], state["stale"], state["finished"]) == (0.02, 0, False)
    assert after([1.0] * 40, patience)["finished"]


def test_a_model_that_stands_still_is_stale_whatever_its_loss() -> None:
    patience = Patience(0.01, 1, False)
    assert progress.judge(progress.begin(0.1), 5.0, patience, is_still=True)["finished"]
