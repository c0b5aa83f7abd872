"""``muskox datasets``, ``diff`` and ``rm``: what is there, how it fares, what differs, and out again."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.bars import bars
from muskox.cli.checking import check, print_report
from muskox.cli.options import Dir, Json, SecretFile, Zk, connected, names
from muskox.errors import CallerError, Corrupt

if TYPE_CHECKING:
    from muskox.client import Cluster

VERIFY = "verify"
WIDE = 100  # columns of a terminal from which on a list says when
SHARDS_LISTED_MAX = 16  # more are summed up, unless asked for
NODES_LISTED_MAX = 24
CHECK = "With --check"
MENDED = "the coordinator makes them anew from good ones, and `muskox status` says how far that is"
NOT_MENDED = "where it lies is not ours to repair: restore it there, or put it again"

Which = Annotated[str | None, typer.Argument(metavar="NAME[@VERSION]|verify", help="one dataset; or verify, and its name")]
Verify = Annotated[str | None, typer.Argument(metavar="NAME", hidden=True)]
ShardList = Annotated[bool, typer.Option("--shards", help="list every shard and node, however many there are")]
Check = Annotated[bool, typer.Option("--check", help="read it and say what may be wrong with it")]
Target = Annotated[str | None, typer.Option(metavar="COL", help="labels: contradictory ones are found", rich_help_panel=CHECK)]
Key = Annotated[str | None, typer.Option(metavar="COL,COL", help="what names a row: repeated keys", rich_help_panel=CHECK)]
Against = Annotated[str | None, typer.Option(metavar="NAME", help="what it has in common with that", rich_help_panel=CHECK)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]


def datasets(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    which: Which = None,
    verified: Verify = None,
    shards: ShardList = False,
    check_: Check = False,
    target: Target = None,
    key: Key = None,
    against: Against = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """List the datasets, describe or check one, or have every replica of one read and digested again."""
    if verified is not None and which != VERIFY:
        raise typer.BadParameter(f"write `muskox datasets {which}` or `muskox datasets verify {verified}`")
    if which == VERIFY and verified is None:
        raise typer.BadParameter("verify what? `muskox datasets verify NAME`")
    if (target or key or against) and not check_:
        raise typer.BadParameter("--target, --key and --against go with --check")
    if check_ and (which is None or verified is not None):
        raise typer.BadParameter("--check reads one dataset: `muskox datasets NAME --check`")
    with connected(dir_, zk, secret_file) as cluster:
        if verified is not None:
            verify(cluster, verified, json_)
        elif which is None:
            list_datasets(cluster.datasets(), json_)
        elif check_:
            print_report(check(cluster, which, target, names(key) or [], against), json_)
        else:
            describe(cluster.describe_dataset(which), json_, list_shards=shards)


def list_datasets(found: list[dict[str, Any]], json_: bool) -> None:
    if json_:
        screen.print_json(found)
        return
    from muskox.client import health_words

    has_groups = any(d["groups"] > 1 for d in found)
    is_wide = screen.output().width >= WIDE
    columns = ["dataset", "rows", "size", "shards", "replicas", *(["groups"] if has_groups else []), "by", "health"]
    rows = [
        [
            f"{d['name']}@{d['version']}",
            f"{d['rows']:,}",
            screen.size(d["bytes"]),
            f"{d['shards']:,}",
            d["replicas"],
            *([d["groups"]] if has_groups else []),
            d["by"],
            screen.health(health_words(d["health"])),
            *([screen.ago(d["created"])] if is_wide else []),
        ]
        for d in found
    ]
    columns += ["created"] if is_wide else []
    numbers = ("rows", "shards", "replicas", "size", "groups")
    screen.print_table(columns, rows, numbers, empty="no dataset yet: muskox put NAME FILE.csv makes one")


def describe(view: dict[str, Any], json_: bool, *, list_shards: bool) -> None:
    if json_:
        screen.print_json(view)
        return
    from muskox.client import health_words

    versions = view["versions"]
    facts: list[tuple[str, Any]] = [
        ("dataset", f"{view['name']}@{view['version']}"),
        ("digest", view["digest"]),
        ("rows", f"{view['rows']:,} in {view['shards']:,} {'shard' if view['shards'] == 1 else 'shards'}"),
        ("size", screen.size(view["bytes"])),
        ("by", view["by"]),
        ("skew", view["skew"]),
        ("replicas", view["replicas"] if view["health"]["place"] == "nodes" else ""),
        ("health", screen.health(health_words(view["health"]))),
        ("in place", view["registered"]),
        ("versions", f"{screen.shortened(versions)} ({len(versions)})" if len(versions) > 1 else ""),
        ("created", view["created"]),
        ("shared with", screen.shortened(view["shared_with"])),
        ("needed by", screen.shortened(view["needed_by"])),
    ]
    if list(view["column_groups"]) == [""]:
        facts.append(("columns", typed(view, view["columns"])))
    screen.print_facts([(name, value) for name, value in facts if value not in ("", 0)])
    print_groups(view)
    print_nodes(view, is_whole=list_shards)
    print_shards(view["placement"], is_whole=list_shards)


def typed(view: dict[str, Any], columns: Iterable[str]) -> str:
    return ", ".join(f"{name} {view['columns'][name]}" for name in columns)


def print_groups(view: dict[str, Any]) -> None:
    """Print the column groups with their columns and types, where there are any."""
    groups = view["column_groups"]
    if list(groups) != [""]:
        screen.print_table(("group", "columns"), [(name, typed(view, own)) for name, own in groups.items()])


def print_nodes(view: dict[str, Any], *, is_whole: bool) -> None:
    """Print what lies on which node: all of them if they are few or asked for, else those that are away."""
    lies_on = view["lies_on"]
    away = [name for name, held in lies_on.items() if not held["live"]]
    listed = list(lies_on) if is_whole or len(lies_on) <= NODES_LISTED_MAX else away[:NODES_LISTED_MAX]
    rows = [
        (
            name,
            "live" if lies_on[name]["live"] else screen.bad("away"),
            f"{lies_on[name]['files']:,}",
            screen.size(lies_on[name]["bytes"]),
        )
        for name in listed
    ]
    if rows:
        screen.print_table(("node", "", "files", "size"), rows, ("files", "size"))
    if len(listed) < len(lies_on):
        screen.say(f"it lies on {len(lies_on):,} nodes, {len(away):,} of them away; --shards lists them all")


def print_shards(placement: list[dict[str, Any]], *, is_whole: bool) -> None:
    """Print the shards: all of them if they are few or asked for, else the least, the middle and the largest."""
    numbers = ("shard", "rows", "size")
    has_nodes = any(shard["nodes"] for shard in placement)
    columns = [*numbers, *(["nodes"] if has_nodes else [])]

    def cells(shard: dict[str, Any]) -> list[Any]:
        by_group = shard.get("nodes_by_group") or {"": shard["nodes"]}
        words = (f"{name}: {' '.join(own)}" if name else " ".join(own) for name, own in by_group.items())
        nodes = ["; ".join(words)] if has_nodes else []
        return [shard["shard"], f"{shard['rows']:,}", screen.size(shard["bytes"]), *nodes]

    if is_whole or len(placement) <= SHARDS_LISTED_MAX:
        screen.print_table(columns, [cells(shard) for shard in placement], numbers)
        return
    ranked = sorted(placement, key=lambda shard: (shard["rows"], shard["shard"]))
    chosen = {"least": ranked[0], "median": ranked[len(ranked) // 2], "largest": ranked[-1]}
    screen.print_table(["", *columns], [[word, *cells(shard)] for word, shard in chosen.items()], numbers)
    screen.say(f"{len(placement):,} shards; --shards lists them all")


def verify(cluster: "Cluster", name: str, json_: bool) -> None:
    """Have every replica read again; failing, exit 1, if one is not good."""
    dataset = cluster.dataset(name)
    reference = f"{dataset.name}@{dataset.version}"
    with bars() as shown:
        found = cluster.verify(name, progress=lambda done, total: shown.show("verifying", done, total, "replicas"))
    bad = [replica for replica in found if replica.state != "good"]
    lies_on_nodes = any(replica.node for replica in found)
    if json_:
        fields = ("shard", "group", "node", "digest", "state")
        screen.print_json([{field: getattr(replica, field) for field in fields} for replica in found])
    elif not bad and lies_on_nodes:
        screen.say(f"{reference}: all {len(found):,} replicas of {len(dataset.shards):,} shards are good")
    elif not bad:
        screen.say(f"{reference}: all {len(dataset.shards):,} shards are good")
    if bad:
        listed = ", ".join(f"shard {r.shard}{f' on {r.node}' if r.node else ''} is {r.state}" for r in bad[:5])
        more = f", and {len(bad) - 5:,} more" if len(bad) > 5 else ""
        what_next = MENDED if lies_on_nodes else NOT_MENDED
        raise Corrupt(f"{len(bad):,} of {len(found):,} replicas of {reference} are not good: {listed}{more}; {what_next}")


def diff(
    left: Annotated[str, typer.Argument(metavar="NAME@1", help="a dataset version")],
    right: Annotated[str, typer.Argument(metavar="NAME@2", help="another one")],
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Say what is other in a dataset version than in another: columns, rows, shards; no row is read for it."""
    import msgspec

    with connected(dir_, zk, secret_file) as cluster:
        found = cluster.diff(left, right)
    if json_:
        screen.print_json(msgspec.to_builtins(found))
        return
    screen.say(f"{found.right} beside {found.left}: {'the same dataset' if found.is_same else 'different'}")
    for sentence in found.sentences():
        screen.say(f"  {sentence}")


def rm(
    name: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="a dataset, or one version of it")],
    yes: Yes = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Remove a dataset with all its versions, or one version. Asks first on a terminal; elsewhere it needs --yes."""
    with connected(dir_, zk, secret_file) as cluster:
        view = cluster.describe_removal(name)
        if not yes:
            if not sys.stdin.isatty():
                raise CallerError(f"nothing was removed: there is no terminal to ask on, so give --yes to remove {name}")
            for who in view["needed_by"]:
                screen.tell(f"{who['dataset']} is needed by {screen.shortened(who['who'])}")
            count = len(view["versions"])
            versions = f"{count} versions" if count > 1 else "1 version"
            if not screen.ask(f"Remove {name}, {versions}, {view['rows']:,} rows, {screen.size(view['bytes'])}, for ever?"):
                screen.tell("nothing was removed")
                raise typer.Exit(1)
        cluster.remove_dataset(name)
    for who in view["needed_by"]:
        screen.tell(f"{who['dataset']} was needed by {screen.shortened(who['who'])}")
    screen.say(f"removed {name}")
