"""``muskox up``, ``down``, ``status`` and ``logs``: a local cluster's life, and a look at any cluster."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.nodes import disk_cells, in_use
from muskox.cli.options import Dir, Json, SecretFile, Zk, connected, folder_of
from muskox.errors import CallerError

Nodes = Annotated[int, typer.Option(metavar="N", min=1, help="node processes; more than run now are added")]
UpZk = Annotated[str | None, typer.Option("--zk", metavar="URL", help="an Apache ZooKeeper in place of the embedded keeper")]
Store = Annotated[
    str | None, typer.Option(metavar="URL", help="s3://BUCKET/PREFIX, hdfs://, ...: keep everything there, not on the nodes")
]
UpDir = Annotated[Path | None, typer.Option("--dir", metavar="DIR", help="folder, or MUSKOX_DIR, or ~/.muskox")]
Lines = Annotated[int, typer.Option("--lines", "-n", min=0, metavar="N", help="the last N lines; 0 for all")]
METRICS_SHOWN = 3
STAMP = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]?\d*")


def up(nodes: Nodes = 3, dir_: UpDir = None, zk: UpZk = None, store: Store = None, json_: Json = False) -> None:
    """Start a local cluster in the background, or what is missing of it."""
    from muskox.client import up as start

    folder = folder_of(dir_)
    with screen.progress().status("starting") as status:
        cluster = start(folder, nodes, zk, store=store, on_step=lambda step: status.update(f"starting {step}"))
    with cluster:
        view = cluster.status()
    if json_:
        screen.print_json(view)
        return
    where = view["storage"]["store"] or folder
    count = len(view["nodes"])
    screen.say(f"{count} {'node runs' if count == 1 else 'nodes run'} at {view['zk']}; the data lies in {where}")
    where = "" if dir_ is None else f" --dir {folder}"
    screen.say(f"next: muskox put NAME FILE.csv{where}   look: muskox status{where}   end: muskox down{where}")


def down(dir_: UpDir = None) -> None:
    """End the processes of a local cluster; its data stays, and `muskox up` goes on with it."""
    from muskox.client import LocalFolder
    from muskox.client import down as end

    folder = folder_of(dir_)
    LocalFolder(folder).get()
    with screen.progress().status("ending"):
        ended = end(folder)
    listed = ", ".join(f"{process.name} (pid {process.pid})" for process in ended)
    screen.say(f"ended {listed}; the data stays in {folder}" if ended else f"nothing of the cluster in {folder} was running")


def status(json_: Json = False, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None) -> None:
    """Show the nodes, who coordinates, and the jobs that are not over."""
    with connected(dir_, zk, secret_file) as cluster:
        view = cluster.status()
    if json_:
        screen.print_json(view)
        return
    keeper = view["keeper"]["pid"]
    screen.say(f"{view['zk']}" + (f"   keeper pid {keeper}" if keeper else ""))
    print_nodes(view["nodes"])
    screen.say(view["storage"]["sentence"])
    served = [f"{node['name']} {node['metrics']}" for node in view["nodes"] if node["metrics"]]
    if served:
        screen.say(f"metrics: {screen.shortened(served, METRICS_SHOWN)}")
    if view["jobs"]:
        print_jobs(view["jobs"])


def print_nodes(nodes: list[dict[str, Any]]) -> None:
    """Print the live nodes; racks only where there are any."""
    has_racks = any(node["rack"] for node in nodes)
    columns = ["node", "pid", "address", "in use", *(["rack"] if has_racks else []), "held", "free", "scrubbed", "damaged", ""]
    rows = []
    for node in nodes:
        role = ["coordinator"] * node["coordinator"] + ["draining"] * node["draining"] + ["leaving"] * node["leaving"]
        rack = [node["rack"]] if has_racks else []
        known = [node["name"], node["pid"], node["address"], in_use(node["resources"])]
        rows.append([*known, *rack, *disk_cells(node["disk"]), ", ".join(role)])
    if not any(row[-2] for row in rows):
        columns.pop(-2)
        rows = [[*row[:-2], row[-1]] for row in rows]
    screen.print_table(columns, rows, numbers=("pid", "held", "free", "damaged"), empty="no node is live")


def print_jobs(jobs: list[dict[str, Any]]) -> None:
    """Print running jobs, each with the processes that work for it."""
    rows = []
    for job in jobs:
        workers = "\n".join(f"{worker['node']} pid {worker['pid']} shards {worker['shards']}" for worker in job["workers"])
        rows.append((job["id"], screen.state(job["state"]), job["round"], job["generation"], workers or job["reason"]))
    screen.print_table(("job", "state", "round", "generation", "workers"), rows, numbers=("round", "generation"))


def logs(
    of: Annotated[str | None, typer.Argument(metavar="NODE|JOB", help="a node's log, or what the nodes say of a job")] = None,
    lines: Lines = 100,
    dir_: UpDir = None,
) -> None:
    """Show what the processes of a local cluster wrote: all of them by time, one of them, or what concerns one job."""
    from muskox.client import LocalFolder

    home = LocalFolder(folder_of(dir_))
    home.get()
    files = {path.stem: path for path in sorted(home.logs.glob("*.log"))}
    if of is not None and of in files:
        shown = files[of].read_text(errors="replace").splitlines()
    else:
        shown = merged(files)
        if of is not None:
            shown = [line for line in shown if of in line]
            if not shown:
                raise CallerError(f"no log in {home.logs} has that name or tells of {of!r}; there are {', '.join(files)}")
    for line in shown[-lines:] if lines else shown:
        typer.echo(line)


def merged(files: dict[str, Path]) -> list[str]:
    """Return the lines of all logs by time, each with the name of its process; a line without a time stays with the last."""
    width = max(map(len, files), default=0)
    found = []
    for name, path in files.items():
        stamp = ""
        for index, line in enumerate(path.read_text(errors="replace").splitlines()):
            match = STAMP.match(line)
            stamp = match.group().replace("T", " ").replace(".", ",") if match else stamp
            found.append((stamp, name, index, f"{name:{width}} | {line}"))
    return [line for *_, line in sorted(found)]
