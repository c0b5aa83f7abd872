"""Progress bars: amounts and rates as people read them, and nothing at all for what is refused at once."""

import pytest
from rich.console import Console

from muskox.cli import screen
from muskox.cli.bars import amount, bars, rate


@pytest.mark.parametrize(
    ("done", "total", "unit", "text"),
    [
        (0, None, "rows", "0 rows"),
        (1_000, 327_346, "rows", "1,000/327,346 rows"),
        (1 << 20, 5 << 20, "bytes", "1.0 MiB/5.0 MiB"),
        (17, None, "bytes", "17 B"),
    ],
)
def test_an_amount_has_a_unit(done: int, total: int | None, unit: str, text: str) -> None:
    assert amount(done, total, unit) == text


@pytest.mark.parametrize(
    ("speed", "unit", "text"),
    [
        (0.5, "shards", "0.5 /s"),
        (999.4, "rows", "999 /s"),
        (1_234_567, "rows", "1.23 M/s"),
        (2e9, "rows", "2 G/s"),
        (1 << 21, "bytes", "2.0 MiB/s"),
    ],
)
def test_a_rate_has_three_digits(speed: float, unit: str, text: str) -> None:
    assert rate(speed, unit) == text


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(record=True, width=100, force_terminal=False, stderr=True)
    monkeypatch.setattr(screen, "progress", lambda: console)
    return console


def test_each_phase_has_a_bar_with_its_rate(console: Console) -> None:
    with bars() as shown:
        shown.show("looking", 50, 100, "bytes")
        shown.show("looking", 100, 100, "bytes")
        shown.show("reading", 7, 0, "rows")
        shown.tell("warning: it [is] odd")
    text = console.export_text()
    assert "100 B/100 B" in text and "7 rows" in text and text.count("/s") == 2
    assert "warning: it [is] odd" in text


def test_what_is_refused_at_once_shows_nothing(console: Console) -> None:
    with pytest.raises(ZeroDivisionError), bars():
        raise ZeroDivisionError
    assert console.export_text() == ""
