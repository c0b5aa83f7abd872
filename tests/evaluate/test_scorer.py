"""A model is found again from its record, and only models of muskox are."""

import numpy as np
import pytest

from muskox.errors import CallerError
from muskox.evaluate import load_scorer
from muskox.learn import LogisticModel, LogisticRegression


def test_a_model_is_found_by_the_name_in_its_record() -> None:
    model = LogisticRegression().fit(np.arange(4.0)[:, None], [0, 0, 1, 1])
    scorer = load_scorer(model.model_record_)
    assert isinstance(scorer, LogisticModel)
    assert scorer.classes_.tolist() == [0, 1]


@pytest.mark.parametrize(
    "name", ["os:system", "muskox_evil:Model", "", None, "muskox.learn:Forest", "muskox.nothing:Model", "muskox.digest:digest"]
)
def test_anything_else_is_refused(name: str | None) -> None:
    with pytest.raises(CallerError, match="model"):
        load_scorer({"model": name})
