"""The program of k-means: a few rounds that find where to begin, then one round for each of Lloyd's iterations.

Steps: "draw" (a round draws candidates; see :mod:`muskox.learn.clusters.seeding`), "weigh" (how many rows are nearest to each
candidate), "assign" (Lloyd's: sums of each cluster's rows), "relocate" (only where a cluster lost all its rows: each empty one
takes one of the rows farthest from their centre), "measure" (the inertia). What a shard keeps between rounds (its rows on the
grid, distances to candidates, bounds) saves time and changes nothing: sums are exact, and a row is left alone only where bounds
prove that looking would find the same centre.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from muskox.errors import CallerError
from muskox.learn.clusters import seeding
from muskox.learn.clusters.grid import Grid, Limbs, Matrix, key_of, unit_of, variances
from muskox.learn.clusters.lloyd import Assignment
from muskox.learn.clusters.seeding import Nearest
from muskox.learn.columns import Floats
from muskox.learn.encoder import Encoder
from muskox.learn.inputs import Target
from muskox.learn.parameters import require_count, require_number
from muskox.learn.training import FIT, TrainingProgram
from muskox.program import Block, Done, Shard
from muskox.records import Record

DRAWS = 3  # rounds that draw candidates, the first of them uniformly
DRAWS_MORE = 20  # beyond them, while there are fewer distinct candidates than clusters


@dataclass(frozen=True, kw_only=True)
class KMeansProgram(TrainingProgram):
    """Find clusters by k-means; the result is the model's record.

    Parameters
    ----------
    n_clusters : how many
    max_rounds : of Lloyd's iterations, from each start
    tol : stop when the centres' squared movement is at most this times the mean variance of the encoded columns
    oversampling : candidates drawn a round, as a multiple of `n_clusters`
    n_init : how often to begin anew; the least inertia wins

    The seed of all draws is that of `inputs`.
    """

    target_kind = Target.NONE
    sums = False

    n_clusters: int
    max_rounds: int = 300
    tol: float = 1e-4
    oversampling: float = 2.0
    n_init: int = 1

    def __post_init__(self) -> None:
        require_count("n_clusters", self.n_clusters)
        require_count("max_rounds", self.max_rounds)
        require_number("tol", self.tol, above=-1e-300)
        require_number("oversampling", self.oversampling, above=0.0)
        require_count("n_init", self.n_init)
        require_count("seed", self.inputs.seed, least=0)

    # -- a round --

    def start(self, prepared: Record) -> Record:
        if prepared["rows"] < self.n_clusters:
            raise CallerError(f"n_samples={prepared['rows']} should be >= n_clusters={self.n_clusters}: a cluster needs a row")
        unit = unit_of(prepared)
        spread = variances(prepared, unit)
        return {
            "unit": unit,
            "grid": key_of(self.inputs, prepared["encoder"], unit),
            "shift_most": self.tol * float(np.add.reduce(spread)) / max(spread.size, 1),
            "rounds": 1,
            "best": {},
            **self._begin(0, len(spread)),
        }

    def _begin(self, run: int, width: int) -> Record:
        return {"step": "draw", "run": run, "draws": 0, "candidates": np.zeros((0, width)), "iterations": 0, "moved": 0.0}

    def adds(self, state: Record) -> bool:
        return bool(state["phase"] == FIT and state["step"] in ("weigh", "assign"))

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        prepared = state["prepared"]
        grid = Grid(Encoder(prepared["encoder"]), state["unit"])
        key = state["grid"]
        matrix: Matrix = shard.cached(key, lambda: grid.shard(prepared, shard, blocks))
        match state["step"]:
            case "draw" | "weigh":
                nearest = shard.cached(key + "/nearest", lambda: Nearest.of(matrix)).look(matrix, state["candidates"])
                return self._drawn(state, matrix, nearest, shard)
            case "assign":
                shard.forget(key + "/nearest")
                limbs = Limbs.of(prepared["weight_sum"], prepared["rows"])
                assignment = shard.cached(f"{key}/{self.n_clusters}", lambda: Assignment.of(matrix, self.n_clusters))
                return {"sums": assignment.after(matrix, state["centres"], limbs)}
            case _:
                return self._measured(state, matrix, shard)

    def _drawn(self, state: Record, matrix: Matrix, nearest: Nearest, shard: Shard) -> Record:
        if state["step"] == "weigh":
            weights = matrix.weights if matrix.weights.size else None
            return {"weights": np.bincount(nearest.index, weights, len(state["candidates"])).astype(np.float64)}
        squared = nearest.squared if state["draws"] else None
        place = (self.inputs.seed, f"k-means candidates of start {state['run']}", state["draws"])
        return seeding.draw(matrix, squared, shard, place, self._each_draw)

    def _measured(self, state: Record, matrix: Matrix, shard: Shard) -> Record:
        nearest = Nearest.of(matrix).look(matrix, state["centres"])
        squared = nearest.squared.astype(np.float64)
        inertia = np.array([np.add.reduce(squared * matrix.weights if matrix.weights.size else squared)])
        if state["step"] == "measure":
            return {"inertia": inertia}
        return seeding.farthest(matrix, nearest.squared, shard, len(state["empty"]))

    @property
    def _each_draw(self) -> int:
        return max(1, int(self.oversampling * self.n_clusters))

    def fit_merge(self, left: Record, right: Record) -> Record:
        return seeding.merge(left, right) if "keys" in left else super().fit_merge(left, right)

    # -- after a round --

    def fit_update(self, state: Record, total: Record) -> Record | Done:
        state = {**state, "rounds": state["rounds"] + 1}
        match state["step"]:
            case "draw":
                return self._with_candidates(state, total)
            case "weigh":
                place = (self.inputs.seed, f"k-means centres of start {state['run']}")
                centres = seeding.plus_plus(state["candidates"], total["weights"], self.n_clusters, place)
                return {**state, "step": "assign", "centres": centres, "candidates": np.zeros((0, centres.shape[1]))}
            case "assign":
                return self._with_sums(state, total["sums"])
            case "relocate":
                return relocated(state, total)
            case _:
                return self._with_inertia(state, float(total["inertia"][0]))

    def _with_candidates(self, state: Record, total: Record) -> Record:
        candidates, draws = np.concatenate([state["candidates"], total["points"]]), state["draws"] + 1
        state = {**state, "candidates": candidates, "draws": draws}
        if draws < DRAWS:
            return state
        is_short = len(total["points"]) > 0 and draws < DRAWS + DRAWS_MORE and seeding.distinct(candidates) < self.n_clusters
        return state if is_short else {**state, "step": "weigh"}

    def _with_sums(self, state: Record, sums: Floats) -> Record:
        prepared = state["prepared"]
        total = Limbs.of(prepared["weight_sum"], prepared["rows"]).total(sums)
        mass = total[:, -1]
        empty = np.flatnonzero(~(mass > 0.0))
        centres = total[:, :-1] / np.where(mass > 0.0, mass, 1.0)[:, None]
        centres[empty] = state["centres"][empty]
        moved = centres - state["centres"]
        shift = float(np.add.reduce(np.einsum("ij,ij->i", moved, moved, optimize=False)))
        state = {**state, "centres": centres, "masses": mass, "moved": shift, "iterations": state["iterations"] + 1}
        if state["iterations"] >= self.max_rounds:
            return {**state, "step": "measure"}
        if empty.size and not state.get("is_sparse", False):
            return {**state, "step": "relocate", "empty": empty.tolist()}
        return {**state, "step": "measure"} if shift <= state["shift_most"] else state

    def _with_inertia(self, state: Record, inertia: float) -> Record | Done:
        best = state["best"]
        if not best or inertia < best["inertia"]:
            best = {name: state[name] for name in ("centres", "masses", "iterations", "run")} | {"inertia": inertia}
        if state["run"] + 1 < self.n_init:
            again = self._begin(state["run"] + 1, best["centres"].shape[1])
            return {**state, **again, "best": best, "is_sparse": False}
        return Done(self._model(state, best))

    def _model(self, state: Record, best: Record) -> Record:
        prepared, unit = state["prepared"], state["unit"]
        return self.model_record(
            prepared,
            model="muskox.learn:KMeansModel",
            estimator="muskox.learn:KMeans",
            kind="k-means",
            centres=best["centres"],
            unit=unit,
            masses=best["masses"],
            inertia=best["inertia"] / unit / unit,
            iterations=best["iterations"],
            start=best["run"],
            rounds=state["rounds"],
        )

    def report(self, state: Record) -> Mapping[str, float]:
        if state["phase"] != FIT:
            return {}
        unit = state["unit"]
        told = {"start": float(state["run"]), "iterations": float(state["iterations"]), "moved": state["moved"] / unit / unit}
        return told | ({"inertia": state["best"]["inertia"] / unit / unit} if state["best"] else {})


def relocated(state: Record, total: Record) -> Record:
    """Return `state` with empty clusters at the rows that are farthest from their centre, as far as there are such rows."""
    centres, points = state["centres"].copy(), total["points"]
    for index, point in zip(state["empty"], points, strict=False):
        centres[index] = point
    return {**state, "step": "assign", "centres": centres, "is_sparse": len(points) < len(state["empty"])}
