"""torchrun with its defaults but one: an elastic job (c10d rendezvous, gloo) of one or two agents on loopback, a worker each.

Workers meet in a store of their own. By default they share that of the agents, where a restarted worker may find the addresses
of those before it: measured, it then recovers in 10 to 30 s, or not within 120 s, and in 10 s otherwise.

The first agent hosts the store by which agents meet, so it is to torchrun what a coordination server is to others. There is no
coordinator beside it, and no client: who starts an agent is done.
"""

import signal
import sys
import tempfile
from pathlib import Path

from kills.trials import Processes, Trial, children, family, free_port, pause, strike, watch

LOOP = Path(__file__).with_name("torch_loop.py")
RESTARTS_MAX = 3
AGENTS = ("host", "other")


class Torchrun:
    """See the head of this file."""

    roles = {  # noqa: RUF012  # never changed
        "worker": "a worker of the second agent",
        "node": "the second agent with its worker",
        "keeper": "the agent that hosts the store, with its worker",
        "zombie": "the second agent with its worker",
    }

    def __init__(self, rounds: int, rows: int, give_up_s: float, pause_s: float) -> None:
        import torch

        self.name = f"torchrun {torch.__version__.partition('+')[0]} (c10d, gloo)"
        self.rounds, self._rows, self._give_up_s, self._pause_s = rounds, rows, give_up_s, pause_s

    def undisturbed(self) -> str:
        return self._train("", None).digest

    def trial(self, role: str, at: int) -> Trial:
        return self._train(role, at)

    def _train(self, role: str, at: int | None) -> Trial:
        with tempfile.TemporaryDirectory(prefix="kill-torchrun-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(LOOP.parent.parent)}
            environment["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
            with Processes(folder, environment) as processes:
                command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=1:2", "--nproc-per-node=1"]
                command += ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=kill"]
                command += [f"--max-restarts={RESTARTS_MAX}"]
                loop = [str(LOOP), name, str(self.rounds), str(self._rows)]
                agents = {}
                for agent in AGENTS:  # on one machine either would find itself at the store's address
                    agents[agent] = processes.start(agent, [*command, f"--rdzv-conf=is_host={agent == 'host'}", *loop])

                def blow() -> float:
                    agent = agents["host" if role == "keeper" else "other"]
                    match role:
                        case "worker":
                            return strike(children(agent), signal.SIGKILL)
                        case "zombie":
                            return pause(family(agent), self._pause_s)
                        case _:
                            return strike(family(agent), signal.SIGKILL)

                def over() -> str:
                    return f"every agent ended: {processes.last_word('other')}" if all(map(processes.has_ended, AGENTS)) else ""

                return watch(folder, at, blow, over, self._give_up_s)
