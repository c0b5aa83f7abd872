"""``muskox node list`` and ``drain``: which nodes there are, and how one is emptied before it is stopped."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.bars import bars
from muskox.cli.options import Dir, Json, SecretFile, Zk, connected
from muskox.errors import Unavailable

if TYPE_CHECKING:
    from muskox.client import Cluster

LOOK_S = 1.0  # between looks at what still lies on a node
STUCK_S = 30.0  # without a copy under way anywhere: the coordinator looks every 10 s


def list_nodes(json_: Json = False, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None) -> None:
    """List every node, live or away: its rack, resources and disk, how many units of data lie on it, whether it is drained."""
    with connected(dir_, zk, secret_file) as cluster:
        found = cluster.nodes()
    if json_:
        screen.print_json(found)
        return
    rows = [
        (
            node["name"],
            state(node),
            node["rack"],
            in_use(node["resources"]),
            f"{node['units']:,}",
            *disk_cells(node["disk"]),
        )
        for node in found
    ]
    columns = ("node", "", "rack", "in use", "units", "held", "free", "scrubbed", "damaged")
    screen.print_table(columns, rows, ("units", "held", "free", "damaged"), empty="no node has ever started here")


def state(node: dict[str, Any]) -> Any:
    if not node["live"]:
        return screen.bad("away")
    return screen.warning("draining") if node["draining"] else "live"


def disk_cells(disk: dict[str, Any]) -> tuple[Any, ...]:
    """Return what a node said of its disk: held, free, when it was last read whole, what was found damaged or gone."""
    if not disk:
        return "", "", "", ""
    found = screen.bad(f"{disk['bad']:,}") if disk["bad"] else ""
    return screen.size(disk["held"]), screen.size(disk["free"]), screen.ago(disk["scrubbed_ms"]), found


def in_use(resources: dict[str, Any]) -> str:
    """Return what is in use of what is offered; of memory and GPUs only where any is asked for, or offered.

    >>> none = {"offered": 0, "used": 0}
    >>> in_use({"cores": {"offered": 4, "used": 1.5}, "memory_bytes": none, "gpus": {"offered": 2, "used": 1}})
    '1.5/4 cores, 1/2 GPUs'
    """
    if not resources:
        return ""
    cores, memory, gpus = resources["cores"], resources["memory_bytes"], resources["gpus"]
    parts = [f"{cores['used']:g}/{cores['offered']} cores"]
    if memory["used"]:
        parts.append(f"{memory['used'] / 1e9:.3g}/{memory['offered'] / 1e9:.3g} GB")
    if gpus["offered"]:
        parts.append(f"{gpus['used']}/{gpus['offered']} GPUs")
    return ", ".join(parts)


def drain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the node")],
    wait: Annotated[bool, typer.Option("--wait", help="until nothing lies there any more")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="let it take data again")] = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Move everything that lies on a node to others, so that it may be stopped; it takes no new data meanwhile."""
    if wait and undo:
        raise typer.BadParameter("--undo is done at once: leave --wait out")
    with connected(dir_, zk, secret_file) as cluster:
        if undo:
            was_drained = cluster.undrain(name)
            screen.say(f"{name} takes data again" if was_drained else f"{name} was not being drained")
            return
        warning = cluster.drain(name)
        if warning:
            screen.tell(f"warning: {warning}")
        if wait:
            await_empty(cluster, name)
            screen.say(f"nothing lies on {name} any more: it may be stopped")
        else:
            screen.say(f"{name} is being emptied: `muskox node drain {name} --wait` says when it may be stopped")


def await_empty(cluster: "Cluster", name: str) -> None:
    """Wait until nothing lies on the node; Ctrl-C ends the waiting, and the draining goes on.

    Raises
    ------
    Unavailable
        If something stays there and nothing has moved for STUCK_S.
    """
    most, before, moved_s = 0, -1, time.monotonic()
    with bars() as shown:
        try:
            while left := cluster.units_on(name):
                if left != before or cluster.is_repairing():
                    before, moved_s = left, time.monotonic()
                most = max(most, left)
                shown.show("moving", most - left, most, "units")
                if time.monotonic() - moved_s > STUCK_S:
                    raise Unavailable(f"{left:,} units stay on {name}: no other node can take them; more nodes, or --undo")
                time.sleep(LOOK_S)
            if most:
                shown.show("moving", most, most, "units")
        except KeyboardInterrupt:
            shown.tell(f"{name} goes on being emptied without us; --undo ends that")
            raise typer.Exit(1) from None
