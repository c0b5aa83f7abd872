"""``muskox datasets NAME --check``: a dataset is read, and what may be wrong with it is said."""

from typing import TYPE_CHECKING, Any

from muskox.cli import screen
from muskox.cli.bars import bars

if TYPE_CHECKING:
    from muskox.client import Cluster
    from muskox.store import CheckReport

VALUE_CHARACTERS_MAX = 20  # of a least or greatest value in the table


def check(cluster: "Cluster", name: str, target: str | None, key: list[str], against: str | None) -> "CheckReport":
    """Check a dataset, showing how far that is."""
    with bars() as shown:
        return cluster.check(
            name,
            target=target,
            key=key,
            against=against,
            progress=lambda done, total: shown.show("checking", done, total, "rows"),
        )


def print_report(report: "CheckReport", json_: bool) -> None:
    if json_:
        import msgspec

        screen.print_json(msgspec.to_builtins(report))
        return
    rows = [
        (
            column.name,
            column.type,
            f"{100 * column.missing_rate:.2f} %" if column.missing else "",
            f"{'about ' if column.is_estimated else ''}{column.distinct:,}",
            short(column.least),
            short(column.greatest),
        )
        for column in report.columns
    ]
    screen.print_table(("column", "type", "missing", "distinct", "least", "greatest"), rows, ("missing", "distinct"))
    if not report.findings:
        screen.say(f"{report.name}: {report.rows:,} rows, nothing odd was found")
    else:
        screen.say(f"{report.name}: {report.rows:,} rows; worth a look:")
    for sentence in report.findings:
        screen.say(f"  {sentence}")


def short(value: Any) -> str:
    """Return a value as far as it fits."""
    text = "" if value is None else screen.number(value) if isinstance(value, float) else str(value).removesuffix(".000000")
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[: VALUE_CHARACTERS_MAX - 1]}…"
