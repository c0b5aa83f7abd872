"""``muskox config``: the live settings of a cluster, and the parameters that may change while a job runs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.options import Dir, Json, SecretFile, Zk, connected
from muskox.cli.putting import pairs
from muskox.errors import CallerError

if TYPE_CHECKING:
    from muskox.client import Cluster

Job = Annotated[str | None, typer.Option("--job", metavar="ID", help="parameters of this running job in place of the cluster")]
Name = Annotated[str, typer.Argument(help="see `muskox config`")]
AName = Annotated[str | None, typer.Argument(metavar="NAME", help="one of them; all without it")]
Words = Annotated[list[str] | None, typer.Argument(metavar="[NAME | NAME=VALUE ...]", help="show one, or change some")]
Value = Annotated[str, typer.Argument(help="a number")]


def show(
    words: Words = None, job: Job = None, json_: Json = False, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None
) -> None:
    """Show the settings, or change some by NAME=VALUE."""
    changes = [word for word in words or [] if "=" in word]
    if changes and len(changes) != len(words or []):
        raise typer.BadParameter("write NAMEs to show, or NAME=VALUE to change, not both")
    if len(words or []) > 1 and not changes:
        raise typer.BadParameter("one NAME at a time is shown")
    with connected(dir_, zk, secret_file) as cluster:
        if changes:
            change(cluster, job, pairs(changes, ""))
        elif job is None:
            show_settings(cluster, words[0] if words else None, json_)
        else:
            show_parameters(cluster, job, words[0] if words else None, json_)


def get(
    name: AName = None, job: Job = None, json_: Json = False, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None
) -> None:
    """Show the live settings of the cluster, or what may change of a running job."""
    show([name] if name else None, job, json_, dir_, zk, secret_file)


def set_(name: Name, value: Value, job: Job = None, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None) -> None:
    """Change a setting of the running cluster, without a restart, or a parameter of a running job."""
    with connected(dir_, zk, secret_file) as cluster:
        change(cluster, job, {name: value})


def show_settings(cluster: "Cluster", name: str | None, json_: bool) -> None:
    from muskox.coordination import SETTINGS

    values = cluster.config()
    if name is not None:
        if name not in values:
            raise CallerError(f"there is no setting {name!r}: the settings are {', '.join(values)}")
        screen.print_json(values[name]) if json_ else screen.say(f"{values[name]:g}")
    elif json_:
        screen.print_json(values)
    else:
        rows = [(key, f"{value:g}", f"{SETTINGS[key].default:g}", SETTINGS[key].meaning) for key, value in values.items()]
        screen.print_table(("setting", "value", "default", "meaning"), rows, numbers=("value", "default"))


def show_parameters(cluster: "Cluster", job: str, name: str | None, json_: bool) -> None:
    found = cluster.job_parameters(job)
    if name is not None:
        values = {parameter["name"]: parameter["value"] for parameter in found}
        if name not in values:
            raise CallerError(f"{name!r} cannot change while job {job} runs: what can is {', '.join(values) or 'nothing'}")
        screen.print_json(values[name]) if json_ else screen.say(written(values[name]))
    elif json_:
        screen.print_json(found)
    else:
        rows = [(parameter["name"], written(parameter["value"]), parameter["meaning"]) for parameter in found]
        nothing = f"nothing is known to change while job {job} runs; code of your own says so when it is asked"
        screen.print_table(("parameter", "value", "meaning"), rows, numbers=("value",), empty=nothing)


def written(value: Any) -> str:
    return "-" if value is None else f"{value:g}"


def change(cluster: "Cluster", job: str | None, given: Mapping[str, str]) -> None:
    if job is None:
        for name, value in given.items():
            cluster.set_config(name, value)
            screen.say(f"{name} is {cluster.config()[name]:g} now")
        return
    values = {name: number(name, value) for name, value in given.items()}
    with screen.progress().status(f"waiting for the next round of {job}"):
        round_ = cluster.change_job(job, **values)
    screen.say(f"{screen.assignments(values)} after round {round_}")


def number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CallerError(f"{name} takes a number, not {text!r}") from error
