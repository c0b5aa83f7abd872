"""``muskox put``, ``datasets`` and ``rm``: tables into the cluster, what is there, and out again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.options import Dir, Json, SecretFile, Zk, connected
from muskox.errors import Corrupt

if TYPE_CHECKING:
    from muskox.client import Cluster
    from muskox.store import PutProgress

Name = Annotated[str, typer.Argument(metavar="NAME", help="name of the dataset")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="CSV (also .gz) or Parquet files with the same columns")]
Shards = Annotated[int | None, typer.Option(metavar="N", min=1, help="pieces to cut it into (default 12)")]
By = Annotated[str | None, typer.Option(metavar="RULE", help="rows, or hash:COLUMN to keep equal keys together")]
Replicas = Annotated[int | None, typer.Option(metavar="N", min=1, help="copies of each shard (default: the cluster's setting)")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="make a new version of an existing dataset")]
Append = Annotated[bool, typer.Option("--append", help="add these rows to the latest version, as a new version")]
Types = Annotated[list[str] | None, typer.Option("--type", metavar="COLUMN=TYPE", help="a type that is not to be inferred")]
Verify = Annotated[str | None, typer.Argument(metavar="NAME", hidden=True)]
Which = Annotated[str | None, typer.Argument(metavar="NAME|verify", help="one dataset; or have its replicas read again")]


def put(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    name: Name,
    files: Files,
    shards: Shards = None,
    by: By = None,
    replicas: Replicas = None,
    overwrite: Overwrite = False,
    append: Append = False,
    types: Types = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Store files as a new version of a dataset: sharded, replicated, immutable; whole or not at all."""
    if overwrite and append:
        raise typer.BadParameter("--overwrite and --append exclude each other")
    given = pairs(types or [], "--type")
    with connected(dir_, zk, secret_file) as cluster, put_progress() as progress:
        paths: Any = files[0] if len(files) == 1 else files
        options = {"shards": shards, "by": by, "replicas": replicas, "overwrite": overwrite, "append": append}
        dataset = cluster.put(name, paths, **options, types=given or None, progress=progress)
        view = cluster.describe_dataset(f"{dataset.name}@{dataset.version}")
    if json_:
        screen.print_json(view)
    else:
        shape = f"{view['rows']:,} rows, {len(view['columns'])} columns, {view['shards']} shards, {view['replicas']} replicas"
        screen.say(f"{view['name']}@{view['version']}: {shape}, {screen.size(view['bytes'])}, digest {view['digest'][:12]}")


def pairs(words: list[str], option: str) -> dict[str, str]:
    """Return what "key=value" words say; wrong use if one does not."""
    split = [word.partition("=") for word in words]
    for (key, equals, _), word in zip(split, words, strict=True):
        if not key or not equals:
            raise typer.BadParameter(f"{option} takes KEY=VALUE, not {word!r}")
    return {key: value for key, _, value in split}


@contextmanager
def put_progress() -> Iterator[Any]:
    """Show a bar for the rows read and one for the shards stored; yields what `put` calls."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:8}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"))
    units = {"reading": "rows", "storing": "shards"}
    bars = Progress(*columns, TimeElapsedColumn(), console=screen.progress())
    tasks: dict[str, Any] = {}

    def show(at: "PutProgress") -> None:
        bars.start()
        if at.phase not in tasks:
            tasks[at.phase] = bars.add_task(at.phase, total=None, unit=units.get(at.phase, ""))
        bars.update(tasks[at.phase], completed=at.done, total=at.total or None)

    try:
        yield show
    finally:
        if tasks:  # a put that is refused at once leaves no empty line
            bars.stop()


def datasets(  # typer: an option is a parameter
    which: Which = None,
    verified: Verify = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """List the datasets, describe one, or have every replica of one read and checked again."""
    if verified is not None and which != "verify":
        raise typer.BadParameter(f"write `muskox datasets {which}` or `muskox datasets verify {verified}`")
    with connected(dir_, zk, secret_file) as cluster:
        if verified is not None:
            verify(cluster, verified, json_)
        elif which is not None:
            describe(cluster.describe_dataset(which), json_)
        else:
            list_datasets(cluster.datasets(), json_)


def list_datasets(found: list[dict[str, Any]], json_: bool) -> None:
    if json_:
        screen.print_json(found)
        return
    columns = ("dataset", "rows", "shards", "replicas", "by", "size", "created")
    rows = [
        (
            f"{d['name']}@{d['version']}",
            f"{d['rows']:,}",
            d["shards"],
            d["replicas"],
            d["by"],
            screen.size(d["bytes"]),
            d["created"],
        )
        for d in found
    ]
    screen.print_table(
        columns, rows, ("rows", "shards", "replicas", "size"), empty="no dataset yet: muskox put NAME FILE.csv makes one"
    )


def describe(view: dict[str, Any], json_: bool) -> None:
    if json_:
        screen.print_json(view)
        return
    facts = [
        ("dataset", f"{view['name']}@{view['version']}"),
        ("digest", view["digest"]),
        ("rows", f"{view['rows']:,}"),
        ("size", screen.size(view["bytes"])),
        ("by", view["by"]),
        ("created", view["created"]),
        ("columns", ", ".join(f"{name} {kind}" for name, kind in view["columns"].items())),
    ]
    screen.print_facts(facts)
    rows = [(p["shard"], f"{p['rows']:,}", screen.size(p["bytes"]), " ".join(p["nodes"])) for p in view["placement"]]
    screen.print_table(("shard", "rows", "size", "nodes"), rows, ("shard", "rows", "size"))


def verify(cluster: "Cluster", name: str, json_: bool) -> None:
    """Have every replica read again; failing, exit 1, if one is not good."""
    dataset = cluster.dataset(name)
    with screen.progress().status(f"every node reads its replicas of {dataset.name}@{dataset.version} again"):
        found = dataset.verify()
    bad = [replica for replica in found if replica.state != "good"]
    if json_:
        screen.print_json([{"shard": r.shard, "node": r.node, "digest": r.digest, "state": r.state} for r in found])
    elif not bad:
        screen.say(f"{dataset.name}@{dataset.version}: all {len(found)} replicas of {len(dataset.shards)} shards are good")
    if bad:
        listed = ", ".join(f"shard {r.shard} on {r.node} is {r.state}" for r in bad[:5])
        raise Corrupt(f"{len(bad)} of {len(found)} replicas of {dataset.name}@{dataset.version} are not good: {listed}")


def rm(name: Name, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None) -> None:
    """Remove a dataset with all its versions."""
    with connected(dir_, zk, secret_file) as cluster:
        cluster.remove_dataset(name)
    screen.say(f"removed {name}")
