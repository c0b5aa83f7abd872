"""``muskox jobs`` and ``cancel``: what runs, how far it is, and ending it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli import phases, screen
from muskox.cli.follow import JobScreen, detached, follow
from muskox.cli.options import Dir, Json, SecretFile, Zk, connected
from muskox.errors import CallerError

if TYPE_CHECKING:
    from muskox.client import Cluster
    from muskox.program import RoundReport

WIDE = 100  # columns of a terminal from which on a list says more

JobId = Annotated[str, typer.Argument(metavar="ID", help="see `muskox jobs`")]
AJob = Annotated[str | None, typer.Argument(metavar="ID", help="one job; all without it")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="watch it round by round until it is over; Ctrl-C only detaches")]


def jobs(  # typer: an option is a parameter
    job_id: AJob = None,
    follow_: Follow = False,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """List the jobs, show one, or follow one."""
    if follow_ and job_id is None:
        raise typer.BadParameter("--follow takes the ID of a job")
    with connected(dir_, zk, secret_file) as cluster:
        if job_id is None:
            list_jobs(cluster.jobs(), json_)
            return
        record = cluster.job(job_id)
        if follow_ and record["state"] in ("waiting", "running"):
            record = watch(cluster, record, json_)
    if follow_ and json_:
        screen.print_json_line(record)
    else:
        show(record, json_)
    if follow_:
        require_done(record)


def list_jobs(found: list[dict[str, Any]], json_: bool) -> None:
    if json_:
        screen.print_json(found)
        return
    shared = any(job["user"] != found[0]["user"] or job["priority"] for job in found)
    asked = ["user", "priority"] if shared else []
    columns = ["job", "parallelism", "state", "round", "workers", *asked, "dataset", "model"]
    if screen.output().width >= WIDE:
        columns += ["generation", "submitted"]
    rows = []
    for job in found:
        state = screen.state(job["state"])
        if job["state"] == "waiting" and job["reason"]:
            state.append(f": {job['reason']}")
        own = {**job, "state": state, "workers": workers_of(job), "submitted": screen.ago(job["submitted"])}
        rows.append([own[column if column != "job" else "id"] for column in columns])
    screen.print_table(
        columns, rows, ("round", "generation", "workers", "priority"), empty="no job yet: muskox train submits one"
    )


def workers_of(job: dict[str, Any]) -> str:
    """Return how many workers there are, and of how many where anything was asked for.

    >>> job = {"state": "running", "workers": [{}, {}], "workers_min": 1, "workers_max": 4}
    >>> workers_of(job), workers_of({**job, "workers_max": 0})
    ('2/1:4', '2')
    """
    if job["state"] not in ("waiting", "running"):
        return ""
    least, most, present = job["workers_min"], job["workers_max"], len(job["workers"])
    return f"{present}/{least}:{most or ''}" if least > 1 or most else str(present)


def watch(cluster: "Cluster", record: dict[str, Any], json_: bool, rounds_max: int | None = None) -> dict[str, Any]:
    """Follow a job to its end and return its record; with `json_`, a line of JSON a round goes to stdout."""
    what = record["model"] or record["kind"]

    def print_round(report: "RoundReport") -> None:
        line = {"round": report.round, "generation": report.generation}
        screen.print_json_line({**line, "metrics": dict(report.metrics), "phases": dict(report.phases)})

    try:
        if json_:
            return follow(cluster, record["id"], None, print_round)
        return follow(cluster, record["id"], JobScreen(f"{what} on {record['dataset']}, job {record['id']}", rounds_max))
    except KeyboardInterrupt:
        raise detached(record["id"]) from None


def show(record: dict[str, Any], json_: bool) -> None:
    if json_:
        screen.print_json(record)
        return
    facts = [("job", record["id"]), ("state", screen.state(record["state"]))]
    names = ("reason", "kind", "parallelism", "dataset", "model", "round", "submitted", "finished", "digest")
    facts += [(name, record[name]) for name in (*names, "user", "priority") if record.get(name)]
    facts.append(("each worker asks", asks(record["asks"])))
    if record["metrics"]:
        facts.append(("metrics", screen.metrics(record["metrics"])))
    if record["phases"]:
        facts.append(("a round", phases.sentence(record["phases"])))
    facts += [("worker", f"{w['node']} pid {w['pid']} shards {w['shards']}") for w in record["workers"]]
    facts += [
        (f"generation {past['number']}", f"{past['formed']}  of {past['workers']}: {past['reason']}")
        for past in record["generations"]
    ]
    facts += [(f"changed at round {change['round']}", screen.assignments(change["values"])) for change in record["changes"]]
    facts += [("death", f"{death['at']}  {death['worker']}: {death['reason']}") for death in record["deaths"]]
    screen.print_facts(facts)


def asks(resources: dict[str, Any]) -> str:
    """Return what each worker of a job takes of its node.

    >>> asks({"cores": 2.0, "memory_bytes": 2 << 30, "gpus": 0})
    '2 cores, 2.0 GiB'
    """
    cores = f"{resources['cores']:g} {'core' if resources['cores'] == 1 else 'cores'}"
    memory = screen.size(resources["memory_bytes"]) if resources["memory_bytes"] else ""
    gpus = f"{resources['gpus']} GPUs" if resources["gpus"] else ""
    return ", ".join(part for part in (cores, memory, gpus) if part)


def require_done(record: dict[str, Any]) -> None:
    """Raise CallerError with the job's own reason unless it is done."""
    if record["state"] == "failed":
        raise CallerError(f"job {record['id']} failed: {record['reason']}")
    if record["state"] == "cancelled":
        raise CallerError(f"job {record['id']} was cancelled")


def cancel(job_id: JobId, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None) -> None:
    """End a job before it is done."""
    with connected(dir_, zk, secret_file) as cluster:
        if cluster.cancel(job_id):
            screen.say(f"cancelled {job_id}")
        else:
            record = cluster.job(job_id)
            screen.say(f"job {job_id} was {record['state']} already")
