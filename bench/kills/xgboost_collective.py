"""XGBoost's collective with its defaults: a tracker by which two workers meet, and boosting over both."""

import signal
import sys
import tempfile
import time
from pathlib import Path

from kills.trials import LOOK_S, START_S_MAX, Processes, Trial, family, pause, strike, watch

WORKER = Path(__file__).with_name("xgboost_worker.py")


class XGBoost:
    """See the head of this file. There is neither a node beside its worker nor a client beside the workers."""

    roles = {"worker": "a worker", "coordinator": "the tracker", "zombie": "a worker"}  # noqa: RUF012  # never changed

    def __init__(self, rounds: int, rows: int, give_up_s: float, pause_s: float) -> None:
        import xgboost

        self.name = f"XGBoost {xgboost.__version__} (collective)"
        self.rounds, self._rows, self._give_up_s, self._pause_s = rounds, rows, give_up_s, pause_s

    def undisturbed(self) -> str:
        return self._train("", None).digest

    def trial(self, role: str, at: int) -> Trial:
        return self._train(role, at)

    def _train(self, role: str, at: int | None) -> Trial:
        with tempfile.TemporaryDirectory(prefix="kill-xgboost-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            with Processes(folder, {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(WORKER.parent.parent)}) as processes:
                tracker = processes.start("tracker", [sys.executable, str(WORKER), "track", name])
                deadline = time.monotonic() + START_S_MAX
                while not (folder / "tracker").exists() and time.monotonic() < deadline:
                    time.sleep(LOOK_S)
                names = ("worker-0", "worker-1")
                command = [sys.executable, str(WORKER), "work", name]
                counts = [str(self.rounds), str(self._rows)]
                workers = [processes.start(names[rank], [*command, str(rank), *counts]) for rank in range(2)]

                def blow() -> float:
                    match role:
                        case "worker":
                            return strike([workers[1]], signal.SIGKILL)
                        case "coordinator":
                            return strike([tracker], signal.SIGKILL)
                        case "zombie":
                            return pause(family(workers[1]), self._pause_s)

                def over() -> str:
                    if not all(map(processes.has_ended, names)):
                        return ""
                    return f"every worker ended: {processes.last_word('worker-0')}"

                return watch(folder, at, blow, over, self._give_up_s)
