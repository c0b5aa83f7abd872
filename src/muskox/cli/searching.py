"""``muskox search ESTIMATOR``: candidates cross-validated side by side, a table of what they scored, the best trained on
all rows."""

import json
import re
import warnings
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from muskox.cli import estimators, screen
from muskox.cli.estimators import KINDS, TaskOf
from muskox.cli.models import detaching
from muskox.cli.options import (
    Dataset,
    Dir,
    Features,
    Json,
    Scoring,
    SecretFile,
    Target,
    Weight,
    WorkersSpan,
    Zk,
    connected,
    names,
    span,
)
from muskox.cli.putting import pairs

Word = Annotated[str, typer.Argument(metavar="ESTIMATOR", help="a word that `muskox train` knows")]
Tries = Annotated[
    list[str],
    typer.Option(
        "--try", metavar="KEY=V1,V2,...", help="values of a parameter, or uniform(A,B), loguniform(A,B), randint(A,B)"
    ),
]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="a parameter that all candidates share")]
Random = Annotated[
    int | None, typer.Option("--random", metavar="N", min=1, help="draw N candidates (default: all of the grid)")
]
Folds = Annotated[int, typer.Option(metavar="K", min=2, help="folds to train and score each candidate on")]
Seed = Annotated[int, typer.Option(metavar="N", help="of the folds and of what is drawn")]
Strategy = Annotated[str, typer.Option(metavar="rounds|tasks", help="all workers share the rounds, or a training is one task")]
ModelName = Annotated[str | None, typer.Option("--name", metavar="MODEL", help="register the best, trained on all rows")]

DISTRIBUTION = re.compile(r"^(uniform|loguniform|randint)\(([^,]+),([^,]+)\)$")
SHOWN_MAX = 30  # candidates, the best first


def search(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    word: Word,
    dataset: Dataset,
    tries: Tries,
    target: Target = None,
    settings: Settings = None,
    random: Random = None,
    folds: Folds = 5,
    seed: Seed = 0,
    scoring: Scoring = None,
    strategy: Strategy = "rounds",
    name: ModelName = None,
    features: Features = None,
    weight: Weight = None,
    task: TaskOf = None,
    workers: WorkersSpan = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Find the best parameters: every candidate is trained and scored on every fold, in one job."""
    kind = KINDS.get(word)
    if kind is None:
        raise typer.BadParameter(f"{word!r}: an estimator is one of {', '.join(KINDS)}")
    kind.require_target(target)
    shared, tried = pairs(settings or [], "--set"), pairs(tries, "--try")
    estimators.check(kind, {**shared, **tried})
    least, most = span(workers)
    with connected(dir_, zk, secret_file) as cluster:
        opened = cluster.dataset(dataset)
        column_type = opened.manifest.columns.get(target, "") if target is not None else ""
        class_name = kind.class_name(task, column_type)
        wanted = {"scoring": scoring, "folds": folds, "seed": seed, "strategy": strategy, "refit": name is not None}
        found = make(class_name, shared, tried, random, wanted)
        from muskox.program import RunOptions

        given: dict[str, Any] = {"features": names(features), "weight": weight, "name": name}
        with detaching(), screen.progress().status(f"searching {word} on {dataset}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # all that they say is shown below
            found.fit(opened, target=target, options=RunOptions(workers=most, workers_min=least), **given)
    told = results(found)
    screen.print_json(told) if json_ else show(told)


def make(class_name: str, shared: Mapping[str, str], tried: Mapping[str, str], random: int | None, wanted: Any) -> Any:
    """Return the search: over a grid, or over some candidates drawn."""
    from muskox.client import GridSearch, RandomizedSearch

    estimator = estimators.make(class_name, shared)
    candidates = {key: values(key, text, type(estimator), is_drawn=random is not None) for key, text in tried.items()}
    if random is None:
        return GridSearch(estimator, candidates, **wanted)
    return RandomizedSearch(estimator, candidates, n_iter=random, **wanted)


def values(key: str, text: str, estimator: Any, *, is_drawn: bool) -> Any:
    """Return the values of one ``--try``, or the distribution that it names.

    Raises
    ------
    typer.BadParameter
        If the parameter is unknown, or a distribution is to be tried whole.
    """
    distribution = DISTRIBUTION.match(text.replace(" ", ""))
    if distribution is None:
        listed = json.loads(text) if text.startswith("[") else text.split(",")
        return [estimators.parameter(key, each if isinstance(each, str) else json.dumps(each), estimator) for each in listed]
    if not is_drawn:
        raise typer.BadParameter(f"--try {key}={text}: a distribution is drawn from: say how often with --random N")
    from scipy import stats

    kind, low, high = distribution.groups()
    try:
        if kind == "randint":
            return stats.randint(int(low), int(high))
        low_, high_ = float(low), float(high)
    except ValueError as error:
        raise typer.BadParameter(f"--try {key}={text}: {error}") from error
    return stats.loguniform(low_, high_) if kind == "loguniform" else stats.uniform(low_, high_ - low_)


def results(found: Any) -> dict[str, Any]:
    """Return what a search found as JSON has it: candidates, the best first."""
    table = found.cv_results_
    trained = table.get("mean_train_score")
    candidates = [
        {
            "rank": int(table["rank_test_score"][index]),
            "parameters": parameters,
            "score": None if table["reason"][index] else float(table["mean_test_score"][index]),
            "deviation": None if table["reason"][index] else float(table["std_test_score"][index]),
            "training_score": None if trained is None or trained[index] != trained[index] else float(trained[index]),
            "reason": table["reason"][index],
        }
        for index, parameters in enumerate(table["params"])
    ]
    return {
        "scoring": found.scoring_,
        "folds": found.folds,
        "best": found.best_params_,
        "score": found.best_score_,
        "digest": found.digest_ if found.refit else None,
        "warnings": list(found.warnings_),
        "candidates": sorted(candidates, key=lambda each: int(str(each["rank"]))),
    }


def show(told: dict[str, Any]) -> None:
    """Print candidates as a table, and the best."""
    shown = told["candidates"][:SHOWN_MAX]
    tried = sorted({key for each in told["candidates"] for key in each["parameters"]})
    failed = any(each["reason"] for each in shown)
    rows = [
        (each["rank"], *(str(each["parameters"].get(key, "-")) for key in tried), *scores(each), *reasons(each, failed))
        for each in shown
    ]
    score = f"{told['scoring']} of {told['folds']} folds"
    numbers = ("rank", score, "deviation", "on training rows")
    columns = ("rank", *tried, *numbers[1:], *(["why it failed"] if failed else []))
    screen.print_table(columns, rows, numbers, empty="no candidate")
    if len(told["candidates"]) > SHOWN_MAX:
        screen.say(f"and {len(told['candidates']) - SHOWN_MAX} more: --json tells all")
    best = ", ".join(f"{key}={value}" for key, value in sorted(told["best"].items()))
    facts = [("best", best), (told["scoring"], screen.number(told["score"]))]
    screen.print_facts([*facts, *([("digest", told["digest"])] if told["digest"] else [])])
    for warning in told["warnings"]:
        screen.tell(f"warning: {warning}")


def scores(candidate: Mapping[str, Any]) -> list[str]:
    told = (candidate["score"], candidate["deviation"], candidate["training_score"])
    return ["-" if value is None else screen.number(value) for value in told]


def reasons(candidate: Mapping[str, Any], failed: bool) -> list[str]:
    """Return why a candidate failed, for a table with a column for that."""
    return [candidate["reason"] or ""] if failed else []
