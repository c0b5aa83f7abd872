"""StepsProgram: what the programs of all networks share: mini-batch steps, one a round, over all shards.

In a round each shard gives the gradient over its slice of the batch (see :mod:`muskox.learn.neural.rows`), summed in the fixed
tree; the update divides by the batch's weight, adds the penalty and moves the parameters. The first round of an epoch judges
the rows held out, too, by the parameters that the epoch before it left: to stop early costs no round of its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from muskox.errors import CallerError
from muskox.learn.functions import exp, log
from muskox.learn.neural.optimisers import Optimiser
from muskox.learn.neural.rows import KeptRows, held_out_rows, trained_rows
from muskox.learn.parameters import require_choice, require_count, require_number
from muskox.learn.training import TrainingProgram
from muskox.program import Block, Done, Shard
from muskox.records import Array, Record

SCHEDULES = ("constant", "invscaling", "adaptive")
ADAPTED = 5.0  # what an adaptive rate is divided by when the loss stands still
RATE_LEAST = 1e-6  # of an adaptive rate: below it training is over
JUDGED_ROWS = 512  # of rows held out that are dense at once: of 10,000 rows of 901 features all would be 72 MB
ADJUSTABLE = {"learning_rate_init": "the size of a step from the next round on, before the schedule's factor"}


@dataclass(frozen=True, kw_only=True)
class StepsProgram(TrainingProgram):
    """Train a network by mini-batch steps. A subclass says what the network is; state["parameters"] is one flat vector.

    Parameters
    ----------
    solver, momentum, nesterovs_momentum, beta_1, beta_2, epsilon : see :class:`muskox.learn.neural.optimisers.Optimiser`
    alpha : L2 penalty of the weights, divided by a batch's weight as scikit-learn has it
    batch_size : rows of a batch over all shards, or so; 0 takes all rows
    learning_rate_init, learning_rate, power_t : the size of a step
    max_rounds : steps at most
    tol, n_iter_no_change : stop when the loss of so many epochs was not better than the best by `tol`
    begin : what the state holds of "parameters" (and "buffers") where another training ended, to go on from
    """

    solver: str = "adam"
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    alpha: float = 0.0001
    batch_size: int = 200
    learning_rate_init: float = 0.001
    learning_rate: str = "constant"
    power_t: float = 0.5
    max_rounds: int = 2000
    tol: float = 1e-4
    n_iter_no_change: int = 10
    begin: Record | None = None

    def __post_init__(self) -> None:
        self.optimiser().check()
        require_number("alpha", self.alpha, above=-1e-300)
        require_count("batch_size", self.batch_size, least=0)
        require_number("learning_rate_init", self.learning_rate_init, above=0.0)
        if not isinstance(self.learning_rate, str):
            told = ", ".join(SCHEDULES)
            raise CallerError(
                f"learning_rate={self.learning_rate!r}: it is how steps change ({told}); their size is learning_rate_init"
            )
        require_choice("learning_rate", self.learning_rate, SCHEDULES)
        require_number("power_t", self.power_t, above=-1e-300)
        require_count("max_rounds", self.max_rounds)
        require_number("tol", self.tol, above=-1e-300)
        require_count("n_iter_no_change", self.n_iter_no_change)

    def optimiser(self) -> Optimiser:
        moments = (float(self.momentum), self.nesterovs_momentum, float(self.beta_1), float(self.beta_2), float(self.epsilon))
        return Optimiser(self.solver, *moments)

    # -- the subclass's own --

    def network(self, prepared: Record) -> Record:
        """Return "parameters", the flat vector to begin with, and whatever else of the network the state is to hold."""
        raise NotImplementedError

    def slopes(self, state: Record, shard: Shard, rows: KeptRows, chosen: Array) -> Record:
        """Return what these rows of a shard contribute: "gradient", flat, and "loss", a float; and any buffers' change."""
        raise NotImplementedError

    def loss_of(self, state: Record, rows: KeptRows, chosen: Array) -> float:
        """Return the sum of the losses of these rows, each times its weight."""
        raise NotImplementedError

    def penalised(self, state: Record) -> list[slice]:
        """Return where in the vector of parameters those lie that the penalty is of."""
        raise NotImplementedError

    def model(self, state: Record) -> Record:
        """Return the model's record, with the parameters (and buffers) that `state` holds."""
        raise NotImplementedError

    def buffered(self, state: Record, total: Record) -> Record:  # noqa: ARG002  # who has buffers needs it
        """Return the entries of the state that hold buffers, after a step."""
        return {}

    # -- the contract of TrainingProgram --

    def live(self) -> Record:
        return {"learning_rate_init": float(self.learning_rate_init)}

    def start(self, prepared: Record) -> Record:
        begun = self._resumed(self.network(prepared))
        rows = prepared["rows"]
        batch = self.batch_size or rows
        return {
            **begun,
            "optimiser": self.optimiser().start(begun["parameters"]),
            "steps": max(1, -(-rows // batch)),
            "round": 0,
            "epoch": 0,
            "step": 0,
            "shrink": 1.0,
            "sums": np.zeros(2),  # of the epoch so far: loss and weight
            "curve": np.zeros(0),  # mean loss of each epoch
            "held_out_curve": np.zeros(0),
            "best": np.full(1, np.inf),
            "stale": 0,
            "kept": {},  # parameters and buffers of the best epoch by the rows held out
        }

    def model_record(self, prepared: Record, **own: Any) -> Record:
        record = super().model_record(prepared, **own)
        record["parameters"].pop("begin", None)
        return record

    def fit_partial(self, state: Record, shard: Shard, blocks: Iterator[Block]) -> Record:
        rows = trained_rows(state, shard, blocks)
        chosen = rows.of_step(self.inputs.seed, shard.index, state["epoch"], state["step"], state["steps"])
        given = self.slopes(state, shard, rows, chosen)
        given["sums"] = np.array([given.pop("loss"), np.add.reduce(rows.weights[chosen])])
        given["held_out"] = np.zeros(2)
        if self._judges(state):
            held = held_out_rows(state, shard)
            given["held_out"] = np.array([self._loss_of_all(state, held), np.add.reduce(held.weights)])
        return given

    def fit_update(self, state: Record, total: Record) -> Record | Done:
        if self._judges(state):
            state = self._judged(state, total["held_out"])
            if state["stale"] >= self.n_iter_no_change:
                found = self._rested(state)
                if isinstance(found, Done):
                    return found
                state = found
        state = self._moved(state, total)
        if state["step"] == state["steps"]:
            state = self._turned(state)
            if not self.inputs.holds_out and state["stale"] >= self.n_iter_no_change:
                found = self._rested(state)
                if isinstance(found, Done):
                    return found
                state = found
        return self._done(state) if state["round"] >= self.max_rounds else state

    # -- live parameters and reports --

    def adjustable(self) -> Mapping[str, str]:
        return ADJUSTABLE

    def adjust(self, state: Record, changes: Mapping[str, float]) -> Record:
        for name, value in changes.items():
            require_number(name, value, above=0.0)
            state = {**state, name: float(value)}
        return state

    def report(self, state: Record) -> Mapping[str, float]:
        if state["phase"] != "fit" or state["round"] == 0:
            return {}
        told = {"loss": state["batch_loss"], "epoch": float(state["epoch"]), "learning_rate_init": state["learning_rate_init"]}
        if len(state["held_out_curve"]):
            told["held_out_loss"] = float(state["held_out_curve"][-1])
        return told

    # -- one step, one epoch --

    def _resumed(self, network: Record) -> Record:
        """Return the network as it is to begin with: where another training ended, if there was one."""
        begun = {}
        for name, values in (self.begin or {}).items():
            if len(values) != len(network[name]):
                raise CallerError(
                    f"warm_start goes on from a network of {len(values)} {name}, but these columns and classes need "
                    f"{len(network[name])}: fit a new estimator, or give rows of the same columns and classes"
                )
            begun[name] = values.astype(network[name].dtype)
        return {**network, **begun}

    def _loss_of_all(self, state: Record, rows: KeptRows) -> float:
        total = 0.0
        for first in range(0, len(rows), JUDGED_ROWS):
            total += self.loss_of(state, rows, np.arange(first, min(first + JUDGED_ROWS, len(rows))))
        return total

    def _judges(self, state: Record) -> bool:
        return self.inputs.holds_out and state["step"] == 0 and state["epoch"] > 0

    def _moved(self, state: Record, total: Record) -> Record:
        """Return the state after a step; a batch without weight moves nothing."""
        loss, weight = (float(value) for value in total["sums"])
        moved = {**state, "round": state["round"] + 1, "step": state["step"] + 1, "sums": state["sums"] + total["sums"]}
        if weight == 0.0:
            return {**moved, "batch_loss": state.get("batch_loss", 0.0)}
        if not np.isfinite(loss):
            raise CallerError(f"the loss of step {moved['round']} is no finite number any more: lower learning_rate_init")
        gradient = total["gradient"] / weight
        if self.alpha:
            for place in self.penalised(state):
                gradient[place] += (self.alpha / weight) * state["parameters"][place]
        rate = state["learning_rate_init"] * state["shrink"] * self._factor(state["round"])
        parameters, optimiser = self.optimiser().step(state["parameters"], gradient, state["optimiser"], rate)
        moved |= {"parameters": parameters, "optimiser": optimiser, "batch_loss": loss / weight}
        return {**moved, **self.buffered(state, total)}

    def _factor(self, steps: int) -> float:
        if self.learning_rate != "invscaling":
            return 1.0
        return float(exp(-self.power_t * log(np.array([steps + 1.0])))[0])

    def _turned(self, state: Record) -> Record:
        """Return the state at the end of an epoch."""
        mean = float(state["sums"][0] / state["sums"][1]) if state["sums"][1] > 0.0 else 0.0
        turned = {"epoch": state["epoch"] + 1, "step": 0, "sums": np.zeros(2), "curve": np.append(state["curve"], mean)}
        if self.inputs.holds_out:
            return {**state, **turned}
        return {**state, **turned, **self._compared(state, mean)}

    def _judged(self, state: Record, held_out: Array) -> Record:
        """Return the state once the rows held out have told of the epoch that is over."""
        if held_out[1] == 0.0:
            raise CallerError("no row is held out that can be judged: hold out more, or stop by the training loss instead")
        mean = float(held_out[0] / held_out[1])
        judged = {**state, "held_out_curve": np.append(state["held_out_curve"], mean), **self._compared(state, mean)}
        if mean < state["best"][0]:
            judged["kept"] = {name: state[name] for name in ("parameters", "buffers") if name in state}
        return judged

    def _compared(self, state: Record, mean: float) -> Record:
        best = float(state["best"][0])
        return {"stale": 0 if mean < best - self.tol else state["stale"] + 1, "best": np.full(1, min(best, mean))}

    def _rested(self, state: Record) -> Record | Done:
        """Return the state with a smaller rate if the rate adapts, or the result: the loss stands still."""
        shrink = state["shrink"] / ADAPTED
        if self.learning_rate == "adaptive" and state["learning_rate_init"] * shrink >= RATE_LEAST:
            return {**state, "shrink": shrink, "stale": 0}
        return self._done(state)

    def _done(self, state: Record) -> Done:
        state = {**state, **state["kept"]}
        if not np.isfinite(state["parameters"]).all():
            raise CallerError(f"the parameters after step {state['round']} are no finite numbers: lower learning_rate_init")
        record = self.model(state)
        told: dict[str, Any] = {"rounds": state["round"], "epochs": state["epoch"], "loss": state["batch_loss"]}
        curves = {"loss_curve": state["curve"], "held_out_curve": state["held_out_curve"]}
        return Done({**record, **told, **curves})
