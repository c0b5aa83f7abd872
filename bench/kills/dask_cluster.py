"""Dask with its defaults: a scheduler, two workers with their nannies, and a client that trains in rounds."""

import signal
import sys
import tempfile
import time
from pathlib import Path

from kills.trials import START_S_MAX, Processes, Trial, children, family, free_port, pause, strike, watch

CLIENT = Path(__file__).with_name("dask_client.py")


class Dask:
    """See the head of this file. The scheduler is all that knows of the cluster: there is no keeper beside it."""

    roles = {  # noqa: RUF012  # never changed
        "worker": "a worker, whose nanny lives",
        "node": "a worker with its nanny",
        "coordinator": "the scheduler",
        "client": "the client",
        "zombie": "a worker with its nanny",
    }

    def __init__(self, rounds: int, rows: int, give_up_s: float, pause_s: float) -> None:
        import distributed

        self.name = f"Dask {distributed.__version__}"
        self.rounds, self._rows, self._give_up_s, self._pause_s = rounds, rows, give_up_s, pause_s

    def undisturbed(self) -> str:
        return self._train("", None).digest

    def trial(self, role: str, at: int) -> Trial:
        return self._train(role, at)

    def _train(self, role: str, at: int | None) -> Trial:
        with tempfile.TemporaryDirectory(prefix="kill-dask-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CLIENT.parent.parent)}
            with Processes(folder, environment) as processes:
                url = f"tcp://127.0.0.1:{(port := free_port())}"
                command = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
                scheduler = processes.start("scheduler", [sys.executable, "-m", *command])
                worker = ["distributed.cli.dask_worker", url, "--nthreads", "1", "--no-dashboard", "--local-directory", name]
                nannies = [processes.start(f"worker-{n}", [sys.executable, "-m", *worker]) for n in range(2)]
                command = [str(CLIENT), url, name, str(self.rounds), str(self._rows)]
                client = processes.start("client", [sys.executable, *command])

                def blow() -> float:
                    match role:
                        case "worker":
                            return strike([workers_of(nannies[1])], signal.SIGKILL)
                        case "node":
                            return strike(family(nannies[1]), signal.SIGKILL)
                        case "coordinator":
                            return strike([scheduler], signal.SIGKILL)
                        case "client":
                            return strike([client], signal.SIGKILL)
                        case "zombie":
                            return pause(family(nannies[1]), self._pause_s)

                def over() -> str:
                    return f"the client ended: {processes.last_word('client')}" if processes.has_ended("client") else ""

                return watch(folder, at, blow, over, self._give_up_s)


def workers_of(nanny: int) -> int:
    """Return the worker of a nanny: the child that is not multiprocessing's resource tracker."""
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        for child in children(nanny):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        time.sleep(0.01)
    raise SystemExit(f"nanny {nanny} has no worker")
