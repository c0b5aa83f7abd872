"""One fitted model for the whole room."""

import pytest
from serving_data import fitted

from muskox.learn import LogisticRegression


@pytest.fixture(scope="session")
def model() -> LogisticRegression:
    return fitted()
