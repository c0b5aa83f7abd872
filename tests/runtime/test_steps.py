"""A job's steps on a node: in order, done again until they can be; a job that cannot go on is given up once."""

import pytest

from muskox.coordination import Refused
from muskox.errors import CallerError, Unavailable
from muskox.runtime import deaths, steps
from muskox.runtime.deaths import Deaths
from muskox.runtime.steps import Steps


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "RETRY_S", 0.0)
    monkeypatch.setattr(steps, "RESYNC_S", 0.0)


class Doing:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.steps = Steps("job-1", self.look, self.done.append)

    def look(self) -> None:
        self.done.append("look")

    def put(self, name: str, *errors: Exception) -> None:
        left = list(errors)

        def step() -> None:
            if left:
                raise left.pop(0)
            self.done.append(name)

        self.steps.put(step)

    def do(self, times: int) -> list[str]:
        for _ in range(times):
            self.steps.do_next()
        return self.done


def test_steps_are_done_in_the_order_in_which_they_came() -> None:
    doing = Doing()
    doing.put("a")
    doing.put("b")
    assert doing.do(3) == ["a", "b", "look"]


def test_what_cannot_be_reached_is_done_again_until_it_can() -> None:
    doing = Doing()
    doing.put("a", Unavailable("away"), Unavailable("still away"))
    doing.put("b")
    assert doing.do(4) == ["a", "b"]


def test_after_a_refusal_we_look_and_do_not_try_the_same_again() -> None:
    doing = Doing()
    doing.put("a", Refused("somebody was first"))
    assert doing.do(2) == ["look"]


def test_a_callers_fault_is_given_up_with_its_reason_and_our_own_bug_ends_nothing() -> None:
    doing = Doing()
    doing.put("a", CallerError("there is no such column"), RuntimeError("never seen again"))
    doing.put("b", RuntimeError("a bug"))
    doing.put("c")
    assert doing.do(4) == ["c", "there is no such column"]


def test_the_first_death_is_made_good_at_once_and_more_of_them_ever_later() -> None:
    counted = Deaths()
    assert counted.count() == 0.0 and not counted.is_pause
    pauses = [counted.count() for _ in range(8)]
    assert pauses == [deaths.PAUSE_S * 2**power for power in range(6)] + [deaths.PAUSE_S_MAX] * 2
    assert counted.is_pause
