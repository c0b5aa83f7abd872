"""The program of principal components: round 1 learns the columns' means, round 2 their covariances, and that is all.

Sums are of values less their column's mean, in the fixed tree; what rounding left of the means is taken off at the end. The
eigenvectors come from our own solver (:mod:`muskox.learn.components.eigen`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from muskox.errors import CallerError
from muskox.learn.columns import Floats
from muskox.learn.components.eigen import eigen
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Target, rows_of
from muskox.learn.parameters import require_choice, require_count, require_number
from muskox.learn.statistics import indicator_shares
from muskox.learn.training import TrainingProgram
from muskox.program import Block, Done, Shard
from muskox.records import Record

WIDTH_MAX = 2048  # encoded columns: a round's sums are 32 MiB then, and the eigenvectors take minutes


@dataclass(frozen=True, kw_only=True)
class PCAProgram(TrainingProgram):
    """Find principal components; the result is the model's record.

    Parameters
    ----------
    n_components : how many; or the share of the variance, between 0 and 1, that they must exceed; None keeps all
    whiten : whether components are brought to variance 1
    """

    target_kind = Target.NONE

    n_components: int | float | None = None
    whiten: bool = False

    def __post_init__(self) -> None:
        require_choice("whiten", self.whiten, (True, False))
        if isinstance(self.n_components, float):
            if not 0.0 < self.n_components < 1.0:
                raise CallerError(f"n_components={self.n_components!r}: a share of the variance is above 0 and below 1")
            require_number("n_components", self.n_components)
        elif self.n_components is not None:
            require_count("n_components", self.n_components)

    def start(self, prepared: Record) -> Record:
        width, rows = Encoder(prepared["encoder"]).width, int(prepared["weight_sum"])
        if width > WIDTH_MAX:
            raise CallerError(f"{width} encoded columns are more than {WIDTH_MAX}: leave some out with features=")
        if rows < 2:
            raise CallerError(f"n_samples={rows}: a variance needs at least 2 rows (a row of weight w counts as w)")
        most = min(width, rows)
        if isinstance(self.n_components, int) and self.n_components > most:
            raise CallerError(
                f"n_components={self.n_components}: with n_samples={rows} and n_features={width} there are at most {most}"
            )
        return {"centre": centre_of(prepared)}

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        from muskox.learn.components.kernels import add_scatter

        encoder, centre = Encoder(state["prepared"]["encoder"]), state["centre"]
        scatter, sums = np.zeros((encoder.width, encoder.width)), np.zeros(encoder.width)
        for rows in rows_of(state["prepared"], shard, blocks):
            X = encoder.transform_batch(rows.batch) - centre
            add_scatter(X, np.zeros(0) if rows.weights is None else rows.weights, scatter)
            sums += np.add.reduce(X if rows.weights is None else X * rows.weights[:, None])
        return {"scatter": scatter, "sums": sums}

    def fit_update(self, state: Record, total: Record) -> Done:
        prepared = state["prepared"]
        weight = prepared["weight_sum"]
        rest = total["sums"] / weight
        scatter = np.triu(total["scatter"]) - np.triu(rest[:, None] * rest[None, :]) * weight
        covariance = (scatter + np.triu(scatter, 1).T) / (weight - 1.0)
        variances, vectors = eigen(covariance)
        whole = float(np.add.reduce(variances))
        ratio = variances / whole if whole > 0.0 else np.zeros_like(variances)
        most = min(len(variances), int(weight))
        kept = self._kept(ratio, most)
        left_out = variances[kept:most]
        record = self.model_record(
            prepared,
            model="muskox.learn:PCAModel",
            estimator="muskox.learn:PCA",
            kind="principal components",
            mean=state["centre"] + rest,
            components=vectors[:kept],
            explained_variance=variances[:kept],
            explained_variance_ratio=ratio[:kept],
            noise_variance=float(np.add.reduce(left_out)) / len(left_out) if left_out.size else 0.0,
            weight_sum=weight,
            rounds=2,
        )
        return Done(record)

    def _kept(self, ratio: Floats, most: int) -> int:
        if self.n_components is None:
            return most
        if isinstance(self.n_components, float):
            return min(int(np.searchsorted(np.add.accumulate(ratio), self.n_components, side="right")) + 1, most)
        return self.n_components


def centre_of(prepared: Record) -> Floats:
    """Return the mean of each encoded column as the encoder gives it: 0 of standardised ones, shares of indicators."""
    encoder, found, weight = prepared["encoder"], prepared["features"], prepared["weight_sum"]
    numeric = np.zeros_like(encoder["mean"]) if encoder["standardise"] else encoder["mean"]
    return np.concatenate([numeric, indicator_shares(found, weight)])
