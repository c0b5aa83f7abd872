"""``muskox importance MODEL DATASET``: what a model goes by: how much its score falls without a column, and its
coefficients."""

from typing import Annotated, Any

import typer
from rich.text import Text

from muskox.cli import screen
from muskox.cli.models import Model, Truth, going_on
from muskox.cli.options import Dataset, Dir, Json, Scoring, SecretFile, Weight, Workers, Zk, connected
from muskox.errors import CallerError

Repeats = Annotated[int, typer.Option(metavar="N", min=1, help="how many times each column is drawn anew")]
Seed = Annotated[int, typer.Option(metavar="N", help="of what is drawn")]
Coefficients = Annotated[bool, typer.Option("--coefficients", help="show the coefficients of a linear model, too")]

BAR_WIDTH = 24
COEFFICIENTS_MAX = 40  # shown, the greatest first


def importance(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    model: Model,
    dataset: Dataset,
    target: Truth = None,
    weight: Weight = None,
    repeats: Repeats = 5,
    seed: Seed = 0,
    scoring: Scoring = None,
    coefficients: Coefficients = False,
    workers: Workers = None,
    json_: Json = False,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Tell by how much a model's score falls when a column is given other rows' values, computed in parallel.

    Take rows that the model was not trained on: of those that it was, the columns it overfitted to seem important, too.
    """
    from muskox.client import coefficients as coefficients_of
    from muskox.client import permutation_importance
    from muskox.program import RunOptions

    with connected(dir_, zk, secret_file) as cluster, going_on(f"permuting the columns of {dataset}"):
        record = cluster.model_record(model)
        table = coefficients_of(record).to_pylist() if coefficients else None
        found = permutation_importance(
            record,
            cluster.dataset(dataset),
            target=target,
            weight=weight,
            repeats=repeats,
            seed=seed,
            scoring=scoring,
            options=RunOptions(workers=workers),
        ).to_pylist()
    if json_:
        screen.print_json({"importance": found, **({} if table is None else {"coefficients": table})})
        return
    show(found)
    if table is not None:
        show_coefficients(table)


def show(found: list[dict[str, Any]]) -> None:
    """Print the columns, the most important first, with bars."""
    most = max((abs(each["mean"]) for each in found), default=0.0) or 1.0
    rows = [
        (each["name"], screen.number(each["mean"]), screen.number(each["deviation"]), bar(each["mean"] / most))
        for each in found
    ]
    screen.print_table(("column", "score falls by", "deviation", ""), rows, ("score falls by", "deviation"), empty="no column")


def bar(share: float) -> Text:
    """Return a bar of a share of the greatest; one below zero is no importance but chance, and has another colour."""
    return Text("█" * max(round(abs(share) * BAR_WIDTH), 1 if share else 0), "cyan" if share > 0 else "red")


def show_coefficients(table: list[dict[str, Any]]) -> None:
    """Print the coefficients that weigh most, and the intercept."""
    if not table:
        raise CallerError("this model has no coefficients")
    has_class = "class" in table[0]
    ordered = sorted(
        table, key=lambda each: -abs(each["per_deviation"]) if each["per_deviation"] is not None else float("-inf")
    )
    columns = (*(("class",) if has_class else ()), "feature", "coefficient", "per deviation")
    rows = [
        (
            *((each["class"],) if has_class else ()),
            each["name"],
            screen.number(each["coefficient"]),
            "-" if each["per_deviation"] is None else screen.number(each["per_deviation"]),
        )
        for each in ordered[:COEFFICIENTS_MAX]
    ]
    screen.print_table(columns, rows, ("coefficient", "per deviation"), empty="none")
    if len(table) > COEFFICIENTS_MAX:
        screen.say(f"and {len(table) - COEFFICIENTS_MAX} more: --json tells all")
