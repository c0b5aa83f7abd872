"""Worker processes: set up, spoken to, ended and killed over one socket pair each; every test in a process of its own.

A node makes itself the parent of a forkserver and changes its own main module and environment for it: not for pytest's process.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

BOUND_S = 60

HEAD = """
import json, os, queue, select, signal, sys, threading
from collections.abc import Iterator

BOUND_S = 30.0
SHARDS = 4


class Counting:
    "Counts shards, and is done after the round that it is told."

    def __init__(self, rounds):
        self.rounds = rounds

    def initial(self, manifest):
        return {"round": 0, "pins": [os.environ.get(name, "") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]}

    def partial(self, state, shard, blocks):
        return {"n": 1}

    def merge(self, left, right):
        return {"n": left["n"] + right["n"]}

    def update(self, state, total):
        from muskox.program import Done

        after = {"round": state["round"] + 1, "n": total["n"], "pins": state["pins"]}
        return Done(after) if after["round"] == self.rounds else after


class Node:
    "What a node knows of one worker: what it says, and that it is gone."

    def __init__(self, context, name="w1", program=None, **setup):
        from muskox.records import pack
        from muskox.runtime.jobs import program_record
        from muskox.runtime.messages import Settings, Setup
        from muskox.runtime.pool import WorkerProcess

        self.said, self.gone = queue.SimpleQueue(), threading.Event()
        self.process = WorkerProcess(context, name, lambda worker, head, body: self.said.put((head, body)), self.end)
        self.handle = os.pidfd_open(self.process.pid)
        self.process.send(
            Setup("job-1", name, "127.0.0.1", "ab" * 32, {"x": "float"}, [1] * SHARDS, 10**9, **setup),
            pack(program_record(program or Counting(3))),
        )
        self.process.send(Settings(10.0, 5.0))

    def end(self, worker):
        self.gone.set()

    def hear(self, *kinds):
        while True:
            head, body = self.said.get(timeout=BOUND_S)
            if type(head).__name__ in kinds:
                return head, body

    def form(self, number, *members, owned=range(SHARDS), runs=()):
        from muskox.runtime.messages import Formed, Member

        runs = runs or [""] * len(members)
        told = [Member(*member, shards) for member, shards in zip(members, runs)]
        self.process.send(Formed(number, told, {index: [FILE] for index in owned}))

    def restore(self):
        from muskox.runtime.messages import Restore

        wanted, _ = self.hear("Wanted")
        self.process.send(Restore(wanted.generation, 0, ""))
        return wanted.generation

    def is_gone(self):
        return self.gone.wait(BOUND_S) and bool(select.select([self.handle], [], [], BOUND_S)[0])


def tell(**facts):
    print(json.dumps(facts))


def make_file():
    "Write the one shard that stands for all of them; return its path."
    import pyarrow as pa
    from pathlib import Path
    from muskox.store.disk.shard import write_shard

    table = pa.table({"x": [1.0]})
    draft = Path(sys.argv[0]).with_name("draft")
    part = write_shard(draft, table.schema, table.to_batches()).parts[0]
    return str(part.path.rename(draft.with_name(part.file_digest)))


def main():
    from muskox.runtime.pool import start_forkserver

    context = start_forkserver()
    global FILE
    FILE = make_file()
"""

TAIL = """

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def run(tmp_path: Any) -> Any:
    def run_script(body: str) -> dict[str, Any]:
        script = tmp_path / "script.py"
        script.write_text(HEAD + "".join(f"    {line}\n" for line in body.strip().splitlines()) + TAIL)
        command = [sys.executable, "-W", "error", str(script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    return run_script


def test_a_worker_listens_where_it_says_and_is_another_process(run: Any) -> None:
    facts = run("""
node = Node(context)
head, _ = node.hear("Listening")
import socket
socket.create_connection(("127.0.0.1", int(head.address.rpartition(":")[2]))).close()
tell(same=head.pid == node.process.pid, other=head.pid != os.getpid())
node.process.stop()
assert node.is_gone()
""")
    assert facts == {"same": True, "other": True}


def test_a_fork_has_what_pyarrow_imports_with_the_first_array(run: Any) -> None:
    facts = run("""
from muskox.records import unpack

class Arrays(Counting):
    def initial(self, manifest):
        return {**super().initial(manifest), "before": sorted(sys.modules)}

    def update(self, state, total):
        import pyarrow as pa
        from muskox.program import Done

        pa.array([1.5, None]).to_numpy(zero_copy_only=False)
        return Done({"new": [name for name in sorted(sys.modules) if name not in state["before"]]})

node = Node(context, program=Arrays(1))
head, _ = node.hear("Listening")
node.form(1, ("w1", head.address))
node.restore()
_, body = node.hear("Finished")
tell(new=[name for name in unpack(body)["new"] if name.startswith("pandas")])
""")
    assert facts == {"new": []}


def test_a_worker_alone_runs_a_program_to_its_end(run: Any) -> None:
    facts = run("""
from muskox.records import unpack
node = Node(context)
head, _ = node.hear("Listening")
node.form(4, ("w1", head.address))
generation = node.restore()
told = [node.hear("Told")[0].round for _ in range(3)]
finished, body = node.hear("Finished")
tell(generation=generation, told=told, rounds=finished.rounds, n=unpack(body)["n"])
node.process.stop()
assert node.is_gone()
""")
    assert facts == {"generation": 4, "told": [1, 2, 3], "rounds": 3, "n": 4}


def test_a_survivor_reports_the_death_and_goes_on_with_the_state_it_holds(run: Any) -> None:
    facts = run("""
from muskox.records import unpack

nodes = {name: Node(context, name, Counting(10**9)) for name in ("w1", "w2")}
members = [(name, node.hear("Listening")[0].address) for name, node in nodes.items()]
for (name, node), owned in zip(nodes.items(), ([0, 1], [2, 3])):
    node.form(1, *members, owned=owned)
nodes["w1"].restore()
while nodes["w1"].hear("Told")[0].round < 5:
    pass
os.kill(nodes["w1"].process.pid, signal.SIGKILL)
suspected, _ = nodes["w2"].hear("Suspected")
nodes["w2"].form(2, members[1])
told, _ = nodes["w2"].hear("Told")
tell(suspected=[suspected.generation, suspected.worker], generation=told.generation, held=told.round > 5)
nodes["w2"].process.stop()
assert all(node.is_gone() for node in nodes.values())
""")
    assert facts == {"suspected": [1, "w1"], "generation": 2, "held": True}


def test_a_round_goes_on_without_a_stopped_worker_and_it_catches_up(run: Any) -> None:
    facts = run("""
from muskox.records import unpack
from muskox.runtime.messages import Brought

class Slow(Counting):
    def partial(self, state, shard, blocks):
        threading.Event().wait(0.005)  # a round lasts long enough to be stopped in
        return super().partial(state, shard, blocks)

nodes = {name: Node(context, name, Slow(200)) for name in ("w1", "w2", "w3")}
members = [(name, node.hear("Listening")[0].address) for name, node in nodes.items()]
for (name, node), owned in zip(nodes.items(), ([0, 1], [2], [3])):
    node.form(1, *members, owned=owned, runs=("0-1", "2", "3"))
nodes["w1"].restore()
while nodes["w1"].hear("Told")[0].round < 5:
    pass
os.kill(nodes["w3"].process.pid, signal.SIGSTOP)
lacking, _ = nodes["w2"].hear("Lacking")
nodes["w2"].process.send(Brought({index: [FILE] for index in lacking.shards}))
rounds = [nodes["w1"].hear("Told")[0] for _ in range(20)]
os.kill(nodes["w3"].process.pid, signal.SIGCONT)
finished, body = nodes["w1"].hear("Finished")
tell(lacking=lacking.shards, generations=sorted({told.generation for told in rounds}), n=unpack(body)["n"])
for node in nodes.values():
    node.process.stop()
assert all(node.is_gone() for node in nodes.values())
""")
    assert facts == {"lacking": [3], "generations": [1], "n": 4}


@pytest.mark.parametrize("workers", [2, 3])
def test_a_worker_that_computes_something_wrong_is_found_by_an_audit(run: Any, workers: int) -> None:
    facts = run(f"""
from muskox.runtime.messages import Brought

nodes = {{}}
for rank in range({workers}):
    class Program(Counting):
        is_wrong = rank == 1
        def partial(self, state, shard, blocks):
            return {{"n": 2 if self.is_wrong and state["round"] == 3 else 1}}
    name = f"n{{rank}}.aa.1"
    nodes[name] = Node(context, name, Program(50), audit=1.0)
members = [(name, node.hear("Listening")[0].address) for name, node in nodes.items()]
owned = [[shard for shard in range(SHARDS) if shard % {workers} == rank] for rank in range({workers})]
for rank, node in enumerate(nodes.values()):
    node.form(1, *members, owned=owned[rank], runs=[",".join(map(str, some)) for some in owned])
nodes["n0.aa.1"].restore()
for node in nodes.values():
    node.hear("Lacking")
    node.process.send(Brought({{shard: [FILE] for shard in range(SHARDS)}}))
head, _ = nodes["n0.aa.1"].hear("Suspected", "Failed")
tell(kind=type(head).__name__, who=getattr(head, "worker", ""), reason=head.reason)
for node in nodes.values():
    node.process.stop()
assert all(node.is_gone() for node in nodes.values())
""")
    if workers == 3:
        assert (facts["kind"], facts["who"]) == ("Suspected", "n1.aa.1")
        assert "in round 4 is another than that of two others" in facts["reason"]
    else:
        assert facts["kind"] == "Failed"
        assert "n0.aa.1 and n1.aa.1 have different results of shard" in facts["reason"]


def test_a_state_that_comes_too_late_is_let_lie(run: Any) -> None:
    facts = run("""
from muskox.runtime.messages import Restore
node = Node(context, program=Counting(90))
head, _ = node.hear("Listening")
node.form(1, ("w1", head.address))
node.restore()
node.hear("Told")
node.process.send(Restore(1, 0, ""))
tell(rounds=node.hear("Finished")[0].rounds)
node.process.stop()
assert node.is_gone()
""")
    assert facts == {"rounds": 90}


def test_a_broken_shard_is_named_and_not_used(run: Any) -> None:
    facts = run("""
from pathlib import Path
data = bytearray(Path(FILE).read_bytes())
data[len(data) // 2] ^= 1
Path(FILE).write_bytes(data)
node = Node(context)
head, _ = node.hear("Listening")
node.form(1, ("w1", head.address), owned=[0, 1, 2, 3])
node.restore()
broken, _ = node.hear("Broken")
tell(shard=broken.shard, said=broken.reason)
node.process.stop()
assert node.is_gone()
""")
    assert facts["shard"] == 0
    assert "has other bytes than were written" in facts["said"]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_ended_worker_is_gone_and_its_node_is_told(run: Any, end: str) -> None:
    assert run(f"""
node = Node(context)
node.hear("Listening")
node.process.{end}()
tell(gone=node.is_gone())
""") == {"gone": True}


def test_a_killed_worker_is_noticed(run: Any) -> None:
    assert run("""
node, other = Node(context), Node(context, "w2")
node.hear("Listening"), other.hear("Listening")
os.kill(node.process.pid, signal.SIGKILL)
tell(gone=node.is_gone(), other=not other.gone.is_set())
other.process.stop()
assert other.is_gone()
""") == {"gone": True, "other": True}


def test_a_stopped_worker_is_killed(run: Any) -> None:
    assert run("""
node = Node(context)
node.hear("Listening")
os.kill(node.process.pid, signal.SIGSTOP)
node.process.kill()
tell(gone=node.is_gone())
""") == {"gone": True}


def test_a_worker_ends_when_its_node_is_killed(run: Any) -> None:
    assert run("""
import subprocess
if len(sys.argv) > 1:
    node = Node(context)
    node.hear("Listening")
    print(node.process.pid, flush=True)
    signal.pause()
with subprocess.Popen([sys.executable, sys.argv[0], "node"], stdout=subprocess.PIPE) as killed:
    handle = os.pidfd_open(int(killed.stdout.readline()))
    killed.kill()
    tell(gone=bool(select.select([handle], [], [], BOUND_S)[0]))
""") == {"gone": True}


def test_the_folder_of_a_killed_nodes_forkserver_is_removed(run: Any) -> None:
    assert run("""
import multiprocessing.util, subprocess, time
if len(sys.argv) > 1:
    node = Node(context)
    node.hear("Listening")
    print(multiprocessing.util.get_temp_dir(), flush=True)
    signal.pause()
with subprocess.Popen([sys.executable, sys.argv[0], "node"], stdout=subprocess.PIPE) as killed:
    folder = killed.stdout.readline().decode().strip()
    was_there = os.path.isdir(folder)
    killed.kill()
until_s = time.monotonic() + BOUND_S
while os.path.exists(folder) and time.monotonic() < until_s:
    time.sleep(0.01)
tell(was_there=was_there, gone=not os.path.exists(folder))
""") == {"was_there": True, "gone": True}


def test_garbage_from_a_worker_ends_it(run: Any) -> None:
    assert run("""
class Babbling(Counting):
    def initial(self, manifest):
        import contextlib, gc, socket
        sockets = [found for found in gc.get_objects() if isinstance(found, socket.socket)]
        for pipe in [found for found in sockets if found.family == socket.AF_UNIX]:
            with contextlib.suppress(OSError):  # one of them is the pipe to the node
                pipe.sendall(b"\\xff" * 64)
        return {}

node = Node(context, program=Babbling(1))
head, _ = node.hear("Listening")
node.form(1, ("w1", head.address))
node.restore()
tell(gone=node.is_gone())
""") == {"gone": True}


def test_a_program_that_cannot_be_loaded_is_told(run: Any) -> None:
    facts = run("""
from muskox.records import pack
import muskox.runtime.jobs as jobs
jobs.program_record = lambda program: {"program": "muskox.learn:nothing", "parameters": {}}
node = Node(context)
tell(reason=node.hear("Failed")[0].reason)
node.process.stop()
assert node.is_gone()
""")
    assert "has no program 'muskox.learn:nothing'" in facts["reason"]


def test_workers_compute_with_one_thread_whatever_the_shell_exports(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    facts = run("""
class Telling(Counting):
    def initial(self, manifest):
        raise ValueError(" ".join(super().initial(manifest)["pins"]))

node = Node(context, program=Telling(1))
head, _ = node.hear("Listening")
node.form(1, ("w1", head.address))
node.restore()
tell(reason=node.hear("Failed")[0].reason)
node.process.stop()
assert node.is_gone()
""")
    assert facts["reason"].endswith("in initial: 1 1")


def test_a_worker_is_told_of_as_gone_only_when_its_process_has_ended(run: Any) -> None:
    """What it had of the machine, its GPU above all, is free only then."""
    facts = run("""
ended = []

class Watching(Node):
    def end(self, worker):
        ended.append(select.select([self.handle], [], [], 0)[0] != [])
        super().end(worker)

nodes = [Watching(context, f"w{number}") for number in range(3)]
for node in nodes:
    node.hear("Listening")
nodes[0].process.stop()
nodes[1].process.kill()
nodes[2].process.end()
tell(gone=[node.is_gone() for node in nodes], ended=ended)
""")
    assert facts == {"gone": [True] * 3, "ended": [True] * 3}


def test_a_worker_that_is_stopped_keeps_nobody_who_speaks_to_it(run: Any) -> None:
    facts = run("""
from muskox.runtime.devices import is_stopped
from muskox.runtime.messages import Restore

node = Node(context)
node.hear("Listening")
was_stopped = is_stopped(node.process.pid)
os.kill(node.process.pid, signal.SIGSTOP)
while not is_stopped(node.process.pid):
    pass
for _ in range(3):
    node.process.send(Restore(1, 1, ""), b"x" * (8 << 20))
node.process.kill()
tell(before=was_stopped, gone=node.is_gone())
""")
    assert facts == {"before": False, "gone": True}
