"""What ``muskox evaluate`` found, for people: numbers, a confusion matrix, a line a class or a cluster."""

from typing import Any

from muskox.cli import screen

CONFUSION_MAX = 12  # classes: a wider matrix nobody reads
BY_CLASS = ("precision", "recall", "f1")


def show(found: dict[str, Any]) -> None:
    """Print what a model scored, whatever its task."""
    screen.print_facts(
        [
            (name.replace("_", " "), "-" if value is None else screen.number(value))
            for name, value in found.items()
            if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        ]
    )
    classes = [str(value) for value in found.get("classes", ())]
    if classes and len(classes) <= CONFUSION_MAX:
        screen.output().print(confusion(found["confusion"], classes))
    if classes and all(name in found for name in BY_CLASS):
        rows = [(name, *(screen.number(found[what][index]) for what in BY_CLASS)) for index, name in enumerate(classes)]
        screen.print_table(("class", *BY_CLASS), rows, BY_CLASS, empty="")
    if "sizes" in found:
        rows = [(str(index), screen.number(size)) for index, size in enumerate(found["sizes"])]
        screen.print_table(("cluster", "rows"), rows, ("rows",), empty="")
    if "auc" in found and found["auc"] is None:
        screen.tell("all rows are of one class: there is no AUC")
    for warning in found.get("warnings", ()):
        screen.tell(f"warning: {warning}")


def confusion(counts: list[list[float]], classes: list[str]) -> Any:
    """Return the confusion matrix as a table: a row a true class, a column a predicted one."""
    rows = [(f"true {name}", *(f"{count:,}" for count in row)) for name, row in zip(classes, counts, strict=True)]
    columns = ("", *(f"predicted {name}" for name in classes))
    return screen.table(columns, rows, numbers=columns[1:])
