"""Trusted code: a text that was trusted runs, any other does not."""

import pytest

from muskox import trusted_code
from muskox.errors import CallerError
from muskox.trusted_code import require_trust, trust, trust_everything


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
