"""One worker of a distributed XGBoost training, or the tracker by which workers meet.

xgboost_worker.py track FOLDER            writes where it is to FOLDER/tracker
xgboost_worker.py work FOLDER RANK ROUNDS ROWS
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import xgboost
from kills.problem import SHARDS, make_shard
from kills.trials import write_result, write_round
from xgboost import collective
from xgboost.tracker import RabitTracker

WORKERS = 2


def track(folder: Path) -> None:
    tracker = RabitTracker(WORKERS, host_ip="127.0.0.1")
    tracker.start()
    draft = folder / "tracker.new"
    draft.write_text(json.dumps(tracker.worker_args()))
    draft.replace(folder / "tracker")
    tracker.wait_for()


class Tell(xgboost.callback.TrainingCallback):
    """Writes a line for every finished round."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: object) -> bool:  # noqa: ARG002
        if collective.get_rank() == 0:
            write_round(self.folder / "rounds", epoch + 1)
        return False


def work(folder: Path, rank: int, rounds: int, rows: int) -> None:
    arguments = json.loads((folder / "tracker").read_text())
    with collective.CommunicatorContext(**arguments, dmlc_task_id=str(rank)):
        own = [make_shard(index, rows) for index in range(SHARDS) if index % WORKERS == rank]
        X, y = (np.concatenate(columns) for columns in zip(*own, strict=True))
        parameters = {"tree_method": "hist", "max_depth": 4, "nthread": 1, "objective": "binary:logistic"}
        booster = xgboost.train(parameters, xgboost.DMatrix(X, y), rounds, callbacks=[Tell(folder)])
        if collective.get_rank() == 0:
            write_result(folder, hashlib.sha256(booster.save_raw("ubj")).hexdigest())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["track", folder]:
            track(Path(folder))
        case ["work", folder, *numbers]:
            work(Path(folder), *map(int, numbers))
