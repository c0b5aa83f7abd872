"""``muskox demo``: the whole product in a minute, on real data, with real kills; it reports what it measured.

It starts a cluster of its own in a temporary folder and leaves nothing behind.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.bars import bars
from muskox.cli.flights import CATEGORICAL, FEATURES, KEY, TARGET, Flights, load_flights, package_file
from muskox.cli.follow import JobScreen, follow
from muskox.cli.jobs import require_done
from muskox.cli.killing import Kill, Killer, Order, Supervisor, Victim
from muskox.cli.putting import put_progress
from muskox.cli.scores import confusion
from muskox.errors import Corrupt, Unavailable

if TYPE_CHECKING:
    from muskox.client import Cluster

NODES = 3
SHARDS = 12
REPLICAS = 2
ROUNDS = 500  # L-BFGS needs 30 of them, half a second: over before anybody could be killed
ROUNDS_YOU_KILL = 2_000
ORDERS = (Order(60, Victim.NODE), Order(150, Victim.COORDINATOR))
ENDPOINT_S_MAX = 60.0
METRICS = ("auc", "log_loss", "accuracy")

YouKill = Annotated[bool, typer.Option("--you-kill", help="you do the killing, from another terminal")]


@dataclass(slots=True)
class Run:
    """One training as it went."""

    name: str
    record: dict[str, Any]
    seconds: float
    model: dict[str, Any]
    orders: tuple[Order, ...] = ()
    kills: list[Kill] = field(default_factory=list)
    scores: dict[str, Any] = field(default_factory=dict)


def demo(you_kill: YouKill = False) -> None:
    """Three nodes, real flights, kills in the middle of training: the same model, bit for bit. Takes a minute."""
    package_file("flights.csv.zip")  # what is missing is told before anything is started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that it cleans up behind itself
    began = time.monotonic()
    try:
        runs = tell_story(ROUNDS_YOU_KILL if you_kill else ROUNDS, you_kill)
    except KeyboardInterrupt:
        screen.tell("the demo was ended; nothing of it is left behind")
        raise typer.Exit(1) from None
    screen.tell(f"\n{time.monotonic() - began:.0f} s in all. Next: `muskox demo --you-kill` lets you do the killing;")
    screen.tell("`muskox up` starts a cluster that stays; `muskox put NAME FILE.csv` and `muskox train logistic -h` go on.")
    if runs[0].model["digest"] != runs[1].model["digest"]:
        raise Corrupt("the two models differ: that is a bug, please report it")


def tell_story(rounds: int, you_kill: bool) -> list[Run]:
    began = time.monotonic()
    with cluster_of_its_own() as (cluster, lifeline):
        story = Story(cluster, lifeline, rounds)
        story.tell_cluster(time.monotonic() - began)
        flights = story.put()
        runs = [story.train("undisturbed", ())]
        runs.append(story.train_while_you_kill() if you_kill else story.train("killed", ORDERS))
        story.evaluate(runs)
        story.predict(runs[1])
        story.serve(runs[1], flights)
        story.conclude(runs)
    return runs


@contextmanager
def cluster_of_its_own() -> Iterator[tuple["Cluster", int]]:
    """Start a cluster in a temporary folder; yields it and the lifeline that ends its processes with this one."""
    from muskox.client import down, up

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muskox-demo-", ignore_cleanup_errors=True)))
        lifeline, ours = os.pipe()
        stack.callback(os.close, lifeline)
        stack.callback(down, folder)
        stack.callback(os.close, ours)
        with screen.progress().status("starting a cluster"):
            cluster = up(folder, NODES, lifeline=lifeline)
        stack.callback(cluster.close)
        yield cluster, lifeline


class Story:
    """The steps of the demo, each telling what it did and how long that took."""

    def __init__(self, cluster: "Cluster", lifeline: int, rounds: int) -> None:
        assert cluster.folder is not None, "a local cluster has a folder"
        self._cluster = cluster
        self._folder = cluster.folder
        self._lifeline = lifeline
        self._rounds = rounds
        self._step = 0

    @contextmanager
    def _told(self, title: str) -> Iterator[None]:
        """Head a step, and say at its end how long it took."""
        self._step += 1
        console = screen.progress()
        console.print(f"\n[bold cyan]{self._step}[/]  [bold]{title}[/]")
        began = time.monotonic()
        yield
        console.print(f"   [dim]{time.monotonic() - began:.1f} s[/]")

    def tell_cluster(self, seconds: float) -> None:
        view = self._cluster.status()
        with self._told(f"A cluster, started in {seconds:.1f} s: each line is a process of its own"):
            screen.tell(f"   keeper   pid {view['keeper']['pid']:<8} speaks ZooKeeper's protocol, no JVM")
            for node in view["nodes"]:
                screen.tell(f"   {node['name']}   pid {node['pid']:<8} {'coordinates' if node['coordinator'] else ''}")

    def put(self) -> Flights:
        with self._told(f"Flights from New York, 2013, as {SHARDS} shards by hash of {KEY}, each on {REPLICAS} nodes"):
            flights = load_flights()
            arrived = flights.train.num_rows + flights.test.num_rows
            screen.tell(
                f"   {flights.rows_read:,} flights, {arrived:,} arrived; the aircraft of {flights.rows_missing:,} is unknown"
            )
            for name, table in (("flights", flights.train), ("flights-test", flights.test)):
                with bars() as shown:
                    progress = put_progress(shown)
                    options = {"shards": SHARDS, "by": f"hash:{KEY}", "replicas": REPLICAS, "progress": progress}
                    dataset = self._cluster.put(name, table, **options)
                screen.tell(f"   {dataset.name}: {dataset.rows:,} rows, digest {dataset.digest[:12]}")
        return flights

    def train(self, name: str, orders: tuple[Order, ...]) -> Run:
        title = "Train: arrives more than 15 minutes late? Only what is known before departure counts"
        with self._told("Again, and now two processes die: SIGKILL, no goodbye" if orders else title):
            if orders:
                screen.tell("   a dead node is started again, as systemd would; one death at a time is what two replicas bear")
            return self._train(name, orders)

    def train_while_you_kill(self) -> Run:
        with self._told("Again, and now you kill what you like, from another terminal"):
            screen.tell("   kill -9 PID, of any process that the line below the curve names")
            screen.tell("   a dead node is started again, as systemd would; one death at a time is what two replicas bear")
            return self._train("killed", (), you_kill=True)

    def _train(self, name: str, orders: tuple[Order, ...], you_kill: bool = False) -> Run:
        from muskox.learn import LogisticRegression

        # Plain gradient descent: many cheap rounds, so that the kills land in the middle of the work.
        estimator = LogisticRegression(solver="gd", max_rounds=self._rounds, categorical=CATEGORICAL)
        supervisor = Supervisor(self._folder, self._lifeline)
        footer = (lambda: "   ".join(f"{who} pid {pid}" for who, pid in supervisor.pids.items())) if you_kill else None
        shown = JobScreen(f"   logistic regression, {name}", self._rounds, footer)
        killer = Killer(self._cluster, NODES, orders, lambda kill: shown.mark(sentence(kill), "bold red"))
        began = time.monotonic()
        try:
            job_id = self._cluster.submit(estimator, "flights", TARGET, name=name, features=list(FEATURES))
            record = follow(self._cluster, job_id, shown, killer.see)
        finally:
            supervisor.stop()
        require_done(record)
        run = Run(name, record, time.monotonic() - began, self._cluster.model_info(name), orders, killer.kills)
        generations = "1 generation" if record["generation"] == 1 else f"{record['generation']} generations"
        screen.tell(f"   {record['round']} rounds, {generations}, digest {run.model['digest'][:16]}...")
        return run

    def evaluate(self, runs: list[Run]) -> None:
        with self._told("Evaluate both on flights they have not seen"):
            for run in runs:
                run.scores = self._cluster.evaluate(run.name, "flights-test")
                scores = "   ".join(f"{name.replace('_', ' ')} {run.scores[name]:.4f}" for name in METRICS)
                screen.tell(f"   {run.name:12} {scores}")

    def predict(self, run: Run) -> None:
        with self._told("Predict the test flights in parallel, into Parquet files"):
            manifest = self._cluster.predict(run.name, "flights-test", self._folder.path / "predictions")
            screen.tell(f"   {manifest['rows']:,} predictions in {len(manifest['files'])} files that manifest.json names")

    def serve(self, run: Run, flights: Flights) -> None:
        with self._told("Serve the model over HTTP, and ask it about one flight"):
            row = flights.test.slice(0, 1).to_pylist()[0]
            with endpoint(run.name, self._folder.path) as (url, key):
                answer = ask(url, key, {name: row[name] for name in FEATURES})
            said = f"late with probability {answer['probabilities'][0]:.3f}"
            was = "it was" if row[TARGET] else "it was not"
            screen.tell(
                f"   POST {url}/predict   {row['carrier']}{row['flight']} {row['origin']} to {row['dest']}: {said}; {was}"
            )

    def conclude(self, runs: list[Run]) -> None:
        """Print the table: what was the same, what was not."""
        console = screen.output()
        console.print()
        rows: list[tuple[str, ...]] = [
            ("training time", *(f"{run.seconds:.1f} s" for run in runs)),
            ("rounds", *(str(run.record["round"]) for run in runs)),
            ("generations", *(str(run.record["generation"]) for run in runs)),
            *((f"test {name.replace('_', ' ')}", *(f"{run.scores[name]:.6f}" for run in runs)) for name in METRICS),
            ("model digest", *(run.model["digest"][:32] for run in runs)),
        ]
        console.print(screen.table(("", *(run.name for run in runs)), rows))
        console.print(confusion(runs[1].scores["confusion"], ["on time", "late"]))
        for kill in runs[1].kills:
            after = "no round came after it" if kill.seconds is None else f"the next round finished {kill.seconds:.2f} s later"
            screen.say(f"{sentence(kill)}; {after}")
        for order in runs[1].orders[len(runs[1].kills) :]:
            screen.say(f"the {order.victim.value} was to be killed too, but training ended before every node was back")
        if runs[0].model["digest"] == runs[1].model["digest"]:
            console.print("[bold green]The same model, bit for bit.[/]")
        else:
            console.print("[bold red]The models differ.[/]")


def sentence(kill: Kill) -> str:
    what = "the coordinator, " if kill.victim is Victim.COORDINATOR else ""
    return f"SIGKILL to {what}{kill.name} (pid {kill.pid}) at round {kill.round}"


@contextmanager
def endpoint(model: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Run ``muskox serve`` as anybody would; yields its URL and key once it listens."""
    command = [sys.executable, "-m", "muskox", "serve", model, "--port", "0", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None, "both are pipes"
        words = process.stdout.readline().split() + process.stdout.readline().split()
        if "at" not in words or "key:" not in words:
            raise Unavailable(f"the endpoint did not start: {process.stderr.read().strip()}")
        yield words[words.index("at") + 1].rstrip(";"), words[words.index("key:") + 1]
    finally:
        process.terminate()
        process.communicate()


def ask(url: str, key: str, row: dict[str, Any]) -> dict[str, Any]:
    """Ask the endpoint about one row."""
    import urllib.request  # 17 ms that `muskox --help` need not take

    body = json.dumps({"rows": [row]}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/predict", body, headers), timeout=ENDPOINT_S_MAX) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
