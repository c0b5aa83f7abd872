"""``muskox models``, ``evaluate``, ``predict`` and ``serve``: what a trained model is good for."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn
from warnings import catch_warnings, simplefilter

import typer

from muskox.cli import scores, screen
from muskox.cli.options import Dataset, Dir, Json, SecretFile, Weight, Workers, Zk, connected, names
from muskox.cli.verifying import verify
from muskox.errors import CallerError

Model = Annotated[str, typer.Argument(metavar="MODEL", help="see `muskox models`")]
Which = Annotated[str | None, typer.Argument(metavar="NAME|verify", help="one model; or verify, and names; all without it")]
Verified = Annotated[list[str] | None, typer.Argument(metavar="NAME", hidden=True)]
Every = Annotated[bool, typer.Option("--all", help="verify every model")]
Truth = Annotated[str | None, typer.Option(metavar="COLUMN", help="the true classes (default: what the model was trained on)")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="folder for Parquet files, reached by every node")]
Columns = Annotated[str | None, typer.Option(metavar="A,B,...", help="columns of the dataset to copy beside the prediction")]
Port = Annotated[int, typer.Option(metavar="P", min=0, max=65535, help="port on 127.0.0.1; 0 takes a free one")]
KeyFile = Annotated[
    Path | None, typer.Option("--api-key-file", metavar="FILE", help="a key of your own (default: one derived)")
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="run the Python code that the model holds, if it does")]

VERIFY = "verify"
LOOK_S = 0.2
KEY_LENGTH_MIN = 16


def models(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    which: Which = None,
    verified: Verified = None,
    every: Every = False,
    workers: Workers = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """List the models, describe one, or have models trained again and their digests compared.

    `verify` exits with 1 if a digest differs, and with 3 if a model could not be trained again.
    """
    if which == VERIFY:
        if bool(verified) == every:
            raise typer.BadParameter("verify what? `muskox models verify NAME...`, or `muskox models verify --all`")
        with connected(dir_, zk, secret_file) as cluster, detaching():
            verify(cluster, verified or [view["name"] for view in cluster.models()], workers, json_)
        return
    if verified or every or workers:
        raise typer.BadParameter("one model at a time is described; --all and --workers go with `muskox models verify`")
    name = which
    with connected(dir_, zk, secret_file) as cluster:
        found: Any = cluster.models() if name is None else cluster.model_info(name)
    if json_:
        screen.print_json(found)
    elif name is None:
        rows = [(m["name"], m["kind"], m["dataset"], m["rounds"], m["digest"][:12], m["created"]) for m in found]
        columns = ("model", "kind", "trained on", "rounds", "digest", "created")
        screen.print_table(columns, rows, ("rounds",), empty="no model yet: muskox train makes one")
    else:
        show_model(found)


def show_model(view: dict[str, Any]) -> None:
    """Print a model and, below it, where it comes from."""
    facts: list[tuple[str, Any]] = [("model", view["name"])]
    facts += [(key, view[key]) for key in ("kind", "dataset", "rounds", "digest", "created")]
    facts.append(("metrics", screen.metrics(view["metrics"])))
    lineage = dict(view["lineage"])
    parameters, changes, deaths = (lineage.pop(key, None) or () for key in ("parameters", "changes", "deaths"))
    facts += [(f"  {key}", value) for key, value in sorted(lineage.items()) if value not in ("", 0, None)]
    if parameters:
        facts.append(("  parameters", ", ".join(f"{key}={value}" for key, value in sorted(parameters.items()))))
    facts += [(f"  changed at round {change['round']}", screen.assignments(change["values"])) for change in changes]
    facts += [("  death", f"{death['at']}  {death['worker']}: {death['reason']}") for death in deaths]
    screen.print_facts(facts)


def evaluate(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    model: Model,
    dataset: Dataset,
    target: Truth = None,
    weight: Weight = None,
    workers: Workers = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Score a dataset by a model, in parallel: AUC, log loss, confusion matrix of classes; R squared, errors of numbers."""
    with connected(dir_, zk, secret_file) as cluster, going_on(f"evaluating {model} on {dataset}"), catch_warnings():
        simplefilter("ignore")  # they are in what is found, and printed with it
        found = cluster.evaluate(model, dataset, target=target, weight=weight, workers=workers)
    if json_:
        screen.print_json(found)
        return
    scores.show(found)


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Show that something is under way."""
    with detaching(), screen.progress().status(what):
        yield


@contextmanager
def detaching() -> Iterator[None]:
    """Let Ctrl-C leave the job that is waited for inside, and say so."""
    try:
        yield
    except KeyboardInterrupt:
        screen.tell("interrupted: the job goes on; `muskox jobs` lists it, `muskox cancel ID` ends it")
        raise typer.Exit(1) from None


def predict(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    model: Model,
    dataset: Dataset,
    output: Output,
    columns: Columns = None,
    workers: Workers = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Predict every row of a dataset in parallel, into Parquet files that manifest.json names."""
    from muskox.program import RunOptions
    from muskox.serve import PredictProgram

    with connected(dir_, zk, secret_file) as cluster:
        opened = cluster.dataset(dataset)
        program = PredictProgram(cluster.model_record(model), str(output.absolute()), tuple(names(columns) or ()))
        with parts_progress(program, len(opened.shards)):
            manifest = opened.run(program, RunOptions(workers=workers)).result
    if json_:
        screen.print_json(manifest)
    else:
        screen.say(f"{manifest['rows']:,} predictions in {len(manifest['files'])} files of {output}; manifest.json names them")


@contextmanager
def parts_progress(program: Any, shards: int) -> Iterator[None]:
    """Show a bar of the files that are written: they appear whole, one a shard."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    over = threading.Event()
    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TextColumn("shards"), TimeElapsedColumn())

    def look(bars: Progress, task: Any) -> None:
        while not over.wait(LOOK_S):
            bars.update(task, completed=program.parts_written())

    with detaching(), Progress(*columns, console=screen.progress()) as bars:
        task = bars.add_task("", total=shards)
        looking = threading.Thread(target=look, args=(bars, task), daemon=True)
        looking.start()
        try:
            yield
            bars.update(task, completed=shards)
        finally:
            over.set()
            looking.join()


def serve(  # typer: an option is a parameter
    model: Model,
    port: Port = 8000,
    api_key_file: KeyFile = None,
    trust_code: TrustCode = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Serve a model over HTTP on this machine until Ctrl-C: POST /predict with rows as JSON, GET /healthz."""
    from muskox.digest import digest
    from muskox.learn import load_predictor
    from muskox.runtime import is_pinned
    from muskox.serve import bind, endpoint_key, make_app
    from muskox.serve import serve as run
    from muskox.trusted_code import require_trust, trust_held

    with bind("127.0.0.1", port) as listener:  # before anything slow: a port in use is told at once
        with connected(dir_, zk, secret_file) as cluster:
            record = cluster.model_record(model)
            if trust_code:
                trust_held(record)
            require_trust(record)
            key = read_key(api_key_file) if api_key_file else endpoint_key(cluster.secret, model)
        if load_predictor(record).pinned and not is_pinned():
            again()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        screen.say(f"{model} ({digest(record)[:12]}) is served at {url}; Ctrl-C ends it")
        if api_key_file is None:
            screen.say(f"key: {key}")
        columns = record["encoder"]["columns"]
        listed = ", ".join(f"{name} {kind}" for name, kind in zip(columns["names"], columns["kinds"], strict=True))
        screen.say(f"a row may have: {listed}")
        shown = f"$(cat {api_key_file})" if api_key_file else key
        screen.say(f"try: curl {url}/predict -H \"Authorization: Bearer {shown}\" -d '[{{}}]'")
        with suppress(KeyboardInterrupt):  # Ctrl-C is how it ends
            run(make_app(record, key), listener)


def again() -> NoReturn:
    """Become the same command in a process that was started with the pins, and so computes without asking another one."""
    from muskox.runtime import pinned_environment

    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **pinned_environment()})


def read_key(path: Path) -> str:
    """Return the key in `path`; CallerError if it is not there or too short to keep anybody out."""
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CallerError(f"cannot read the key file {path}: {error}") from error
    if len(key) < KEY_LENGTH_MIN:
        raise CallerError(f"the key in {path} has {len(key)} characters: it needs at least {KEY_LENGTH_MIN}")
    return key
