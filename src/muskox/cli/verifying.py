"""``muskox models verify``: models trained again from their lineage, and their digests compared."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from muskox.cli import screen

if TYPE_CHECKING:
    from muskox.client import Cluster, Verified

DIFFERS_EXIT = 1
UNKNOWN_EXIT = 3  # none differs, but some could not be trained again
STYLES = {"same": "green", "differs": "bold red", "cannot be verified": "yellow"}


def verify(cluster: "Cluster", names: Sequence[str], workers: int | None, json_: bool) -> None:
    """Train each model again, one after the other, and print a line a model.

    Raises
    ------
    typer.Exit
        Unless every model has its digest again.
    """
    found: list[Verified] = []
    for count, name in enumerate(names, 1):
        with screen.progress().status(f"training {name} again ({count} of {len(names)})"):
            found.append(cluster.verify_model(name, workers=workers))
    if json_:
        screen.print_json([asdict(each) for each in found])
    else:
        print_verdicts(found)
    verdicts = {str(each.verdict) for each in found}
    if "differs" in verdicts:
        raise typer.Exit(DIFFERS_EXIT)
    if verdicts - {"same"}:
        raise typer.Exit(UNKNOWN_EXIT)


def print_verdicts(found: "Sequence[Verified]") -> None:
    rows = []
    for each in found:
        verdict = Text(str(each.verdict), STYLES[each.verdict])
        took = screen.seconds(each.seconds) if each.seconds else ""
        rows.append((each.model, verdict, each.digest[:12], each.found[:12], each.job, took))
    screen.print_table(("model", "", "digest", "trained again", "job", "took"), rows, ("took",), empty="no model to verify")
    for each in found:
        if each.reason:
            screen.say(f"{each.model} cannot be verified: {each.reason}")
