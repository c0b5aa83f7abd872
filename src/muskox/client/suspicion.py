"""Suspicion: what makes scores look better than they are, told as warnings: columns that give the target away, overfitting."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from muskox.evaluate import OneColumnProgram, suspects

OVERFIT_GAP = 0.15  # of accuracy or R squared, between rows trained on and others: less is how most good models are
TOLD_MAX = 5  # columns in one sentence


class LeakageWarning(UserWarning):
    """Something that is known only after the fact may have been learned from."""


class OverfittingWarning(UserWarning):
    """A model is much better on the rows that it was trained on."""


def look_for(target: str | None, columns: Sequence[str], *, is_number: bool, weight: str | None) -> OneColumnProgram | None:
    """Return what looks for columns that give the target away; None where there is no target, or no column beside it."""
    chosen = tuple(name for name in columns if name not in (target, weight))
    return None if target is None or not chosen else OneColumnProgram(target, chosen, is_number)


def about_columns(found: Mapping[str, Any], target: str | None) -> list[str]:
    """Return a sentence about the columns that give the target away, if there are any; `found` is OneColumnProgram's."""
    named = suspects(found) if "scores" in found else []
    if not named:
        return []
    word = {"auc": "AUC", "r2": "R squared", "explained": "share explained"}[str(found["measure"])]
    told = ", ".join(f"{name!r} ({word} {score:.4f})" for name, score in named[:TOLD_MAX])
    more = f" and {len(named) - TOLD_MAX} more" if len(named) > TOLD_MAX else ""
    alone = "column alone predicts" if len(named) == 1 else "columns each alone predict"
    return [f"{alone} the target {target!r} nearly perfectly: {told}{more}. Is that known before the target is?"]


def about_fit(folds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence if the rows trained on are told much better than the others; of folds with their "training" scores."""
    pairs = []
    for fold in folds:
        name = "accuracy" if "accuracy" in fold else "r2"
        if "training" in fold and name in fold:
            pairs.append((float(fold["training"][name]), float(fold[name])))
    if not pairs:
        return []
    trained, others = (sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
    spread = math.sqrt(sum((pair[1] - others) ** 2 for pair in pairs) / len(pairs))
    if trained - others <= max(OVERFIT_GAP, 2.0 * spread):
        return []
    word = "accuracy" if name == "accuracy" else "R squared"
    return [f"the {word} is {trained:.3f} on the rows trained on and {others:.3f} on others: the model is overfitted"]


def warn_of(sentences: Sequence[str], kind: type[Warning], depth: int = 3) -> list[str]:
    """Warn with each sentence, in the name of who called the caller's caller, and return them."""
    for sentence in sentences:
        warnings.warn(sentence, kind, stacklevel=depth)
    return list(sentences)
