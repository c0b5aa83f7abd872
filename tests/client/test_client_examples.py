"""The examples in the docstrings of this room's searches and tables are run."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["search", "importance", "leakage", "user_tasks"])
def test_docstrings_tell_the_truth(name: str) -> None:
    found = doctest.testmod(import_module(f"muskox.client.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
