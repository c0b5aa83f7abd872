"""``muskox train``: submit the training of a model, and follow it unless asked not to."""

import inspect
import json
from typing import Annotated, Any

import typer

from muskox.cli import screen
from muskox.cli.jobs import require_done, watch
from muskox.cli.models import show_model
from muskox.cli.options import (
    Audit,
    Cores,
    Dir,
    Gpus,
    Json,
    Memory,
    Priority,
    SecretFile,
    WorkersSpan,
    Zk,
    connected,
    names,
    share,
    size,
    span,
)
from muskox.cli.putting import pairs

PARAMETERS = "C, solver (lbfgs or gd), max_rounds, tol, learning_rate, standardise, categorical, categories_max"

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="name, or name@version")]
Target = Annotated[str, typer.Option(metavar="COLUMN", help="the column to predict")]
ModelName = Annotated[str, typer.Option("--name", metavar="MODEL", help="what the model shall be called")]
Features = Annotated[str | None, typer.Option(metavar="A,B,...", help="columns to learn from (default: all but the target)")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=PARAMETERS)]
Detach = Annotated[bool, typer.Option("--detach", help="submit, print the job's id, and leave")]


PYTHON_NAMES = {"True": "true", "False": "false", "None": "null"}  # as people who know Python write them


def logistic(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    dataset: Dataset,
    target: Target,
    name: ModelName,
    features: Features = None,
    settings: Settings = None,
    workers: WorkersSpan = None,
    detach: Detach = False,
    cores: Cores = 1.0,
    memory: Memory = "0",
    gpus: Gpus = 0,
    priority: Priority = 0,
    audit: Audit = "0",
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Train a logistic regression. Once submitted it needs no client: Ctrl-C only detaches."""
    given = pairs(settings or [], "--set")
    from muskox.program import RunOptions

    least, most = span(workers)
    asks: dict[str, Any] = {
        "workers_min": least,
        "cores": cores,
        "memory_bytes": size(memory),
        "gpus": gpus,
        "priority": priority,
    }
    options = RunOptions(workers=most, name=name, audit=share(audit), **asks)
    from muskox.learn import LogisticRegression

    parameters = {key: parameter(key, value, LogisticRegression) for key, value in given.items()}
    estimator = LogisticRegression(**parameters)
    with connected(dir_, zk, secret_file) as cluster:
        job_id = cluster.submit(estimator, dataset, target, name=name, features=names(features), options=options)
        record = cluster.job(job_id)
        if detach:
            if json_:
                screen.print_json(record)
            else:
                screen.say(f"submitted {job_id}; `muskox jobs {job_id} --follow` follows it")
            return
        record = watch(cluster, record, json_=False, rounds_max=estimator.max_rounds)
        require_done(record)
        view = cluster.model_info(name)
    screen.print_json(view) if json_ else show_model(view)


def parameter(key: str, text: str, estimator: Any) -> Any:
    """Return the value of one ``--set``: names for a list of columns, JSON where it is JSON, else text."""
    known = [name for name in inspect.signature(estimator).parameters if name != "features"]
    if key not in known:
        raise typer.BadParameter(f"--set {key}: there is no such parameter; they are {', '.join(known)}")
    if key == "categorical":
        return names(text)
    try:
        value = json.loads(PYTHON_NAMES.get(text, text))
    except ValueError:
        return text
    return value
