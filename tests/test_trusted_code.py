"""Trusted code: a text that was trusted runs, any other does not."""

import copy
import pickle

import pytest

from muskox import trusted_code
from muskox.errors import CallerError
from muskox.trusted_code import Adopted, require_trust, trust, trust_everything, trust_held, trust_only, trusted


@pytest.fixture(autouse=True)
def nothing_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusted_code, "_trusted", {})


def test_a_record_without_code_needs_no_trust() -> None:
    require_trust({"model": "muskox.learn:LogisticModel"})
    require_trust({"source": ""})


def test_trust_is_of_one_text() -> None:
    trust("x = 1")
    require_trust({"source": "x = 1"})
    with pytest.raises(CallerError, match="contains Python code"):
        require_trust({"source": "x = 2"})


def test_trust_can_be_of_everything() -> None:
    trust_everything()
    require_trust({"source": "x = 2"})


def test_a_pipeline_holds_the_code_of_its_steps() -> None:
    record = {"steps": {"0": {"model": "any"}, "1": {"steps": {"0": {"source": "x = 3"}}}}}
    with pytest.raises(CallerError, match="contains Python code"):
        require_trust(record)
    trust_held(record)
    require_trust(record)


def test_a_process_that_works_for_another_trusts_what_that_one_does_and_no_more() -> None:
    trust("x = 1")
    told = trusted()
    trust("x = 2")
    trust_only(told)
    require_trust({"source": "x = 1"})
    with pytest.raises(CallerError, match="contains Python code"):
        require_trust({"source": "x = 2"})


@pytest.mark.parametrize("again", [copy.deepcopy, lambda text: pickle.loads(pickle.dumps(text)), lambda text: text])
def test_a_copy_of_an_adopted_text_is_adopted(again) -> None:
    assert type(again(Adopted("x = 1"))) is Adopted and again(Adopted("x = 1")) == "x = 1"
