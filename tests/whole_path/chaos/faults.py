"""What can be done to a process, and to whom: the roles of a running job looked up at the moment of the blow."""

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from chaos.clients import Client
from chaos.histories import Blow
from chaos.proxy import KeeperProxy

import muskox as mx
from muskox.client import launcher, up
from muskox.client.folder import LocalFolder
from muskox.coordination import layout, live_members

PAUSE_S = 5.0  # more than twice the session timeout: whoever is paused or cut off is put out meanwhile
SLOW_S = 3.0  # for so long somebody is stopped half of the time,
SLOW_STEP_S = 0.05  # in steps of this
GONE_S_MAX = 10.0  # from SIGKILL to the end


class Faults:
    """Strikes, and mends again: a pause or a cut ends by itself after PAUSE_S, or when the history is over."""

    def __init__(self, observer: mx.Cluster, proxy: KeeperProxy, folder: Path, nodes: int) -> None:
        self._observer = observer
        self._proxy = proxy
        self._folder = folder
        self._nodes = nodes
        self._is_over = threading.Event()
        self._threads: list[threading.Thread] = []

    def strike(self, blow: Blow, job: str, client: Client) -> bool:
        """Let a blow fall on whoever holds the role now; return whether anybody does."""
        pids = self._holders(blow.role, job, client)
        if not pids:
            return False
        match blow.fault:
            case "kill":
                kill(pids)
            case "restart":
                kill(pids)
                self._begin(self._start_again)
            case "pause":
                send(pids, signal.SIGSTOP)
                self._begin(lambda: self._later(lambda: send(pids, signal.SIGCONT)))
            case "cut":
                cut = () if blow.role == "keeper" else pids
                self._proxy.cut(cut)
                self._begin(lambda: self._later(lambda: self._proxy.mend(cut)))
            case "slow":
                self._begin(lambda: self._slow(pids))
            case _:
                raise AssertionError(blow.fault)
        return True

    def mend(self) -> None:
        """End every fault, start what is dead, and wait until all nodes are there."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._is_over.clear()
        up(self._folder, self._nodes).close()

    def _holders(self, role: str, job: str, client: Client) -> list[int]:
        if role == "client":
            return [client.pid] if client.pid else []
        if role == "keeper":
            pid = self._observer.folder.keeper_pid() if self._observer.folder is not None else None
            return [pid] if pid else []
        session = self._observer.session
        generation = session.find(layout.generation(job), layout.GenerationRecord)
        staff = [] if generation is None else generation[0].members
        if role in ("worker", "root"):
            return [staff[0 if role == "root" else -1].pid] if staff else []
        members, fence = live_members(session), session.find(layout.FENCE, layout.FenceRecord)
        leading = "" if fence is None else fence[0].incarnation
        staffed = {member.node for member in staff}
        chosen = sorted(
            (name not in staffed, name)
            for name, member in members.items()
            if (member.incarnation == leading) == (role == "coordinator")
        )
        if not chosen:
            return []
        pid = members[chosen[0][1]].pid
        return [member for member in family(pid) if os.getsid(member) == pid] if role == "machine" else [pid]

    def _begin(self, act: Callable[[], None]) -> None:
        thread = threading.Thread(target=act, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _later(self, act: Callable[[], object]) -> None:
        self._is_over.wait(PAUSE_S)
        act()

    def _slow(self, pids: Collection[int]) -> None:
        deadline = time.monotonic() + SLOW_S
        while time.monotonic() < deadline and not self._is_over.is_set():
            send(pids, signal.SIGSTOP)
            self._is_over.wait(SLOW_STEP_S)
            send(pids, signal.SIGCONT)
            self._is_over.wait(SLOW_STEP_S)

    def _start_again(self) -> None:
        """Start what is dead, and wait until it holds its folder, but for no other node: some may die meanwhile."""
        home = LocalFolder(self._folder)
        with home.locked():
            started = launcher._start_missing(home, home.get(), lambda _: None, None)
            while any(home.node_pid(name) is None and process.poll() is None for name, process in started.items()):
                time.sleep(SLOW_STEP_S)


def send(pids: Collection[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill(pids: Collection[int]) -> None:
    """Kill them and wait until they are gone: until then they hold their locks, and would be taken for alive."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            is_gone = select.select([handle], [], [], GONE_S_MAX)[0]
            os.close(handle)
            assert is_gone, f"{pid} outlived SIGKILL by {GONE_S_MAX:g} s"


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, as Linux tells them: those of a node may be its workers, and the keeper."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [member for child in task.read_text().split() for member in family(int(child))]
    return found
