"""Numbers, sizes and curves as people read them."""

import io
from typing import Any

import pytest
from rich.console import Console

from muskox.cli.clusters import merged
from muskox.cli.curve import BLANK, chart, plot
from muskox.cli.estimators import parameter
from muskox.cli.follow import JobScreen
from muskox.cli.options import names
from muskox.cli.phases import bar, sentence
from muskox.cli.screen import metrics, number, size
from muskox.program import RoundReport


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (1 << 60, "1048576.0 TiB")]
)
def test_bytes_have_a_unit(count: int, text: str) -> None:
    assert size(count) == text


def test_numbers_show_what_a_person_can_take_in() -> None:
    assert (number(1234567), number(0.123456789), number(True), number("x")) == ("1,234,567", "0.123457", "True", "x")
    assert metrics({"loss": 0.5, "gradient_norm": 1e-9}) == "loss 0.5  gradient norm 1e-09"


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0], [float(i % 7) for i in range(1000)]])
def test_a_curve_has_the_asked_for_size(values: list[float]) -> None:
    lines = plot(values, width=20, height=4)
    assert [len(line.plain) for line in lines] == [20] * 4


def test_a_falling_curve_goes_from_the_upper_left_to_the_lower_right() -> None:
    first, *_, last = (line.plain for line in plot([float(-i) for i in range(40)], width=20, height=4))
    assert first[0] != chr(BLANK) and first[-1] == chr(BLANK)
    assert last[-1] != chr(BLANK) and last[0] == chr(BLANK)


def test_the_chart_names_its_greatest_and_least_value() -> None:
    lines = chart([0.75, 0.5, 0.25], width=40, height=3, marks=[1])
    assert lines[0].plain.startswith(" 0.7500 │") and lines[-1].plain.startswith(" 0.2500 │")


def test_a_job_on_the_screen_tells_of_its_generations() -> None:
    shown = JobScreen("late", rounds_max=10)
    assert shown.line() == "starting workers"
    nothing: dict[str, Any] = {"workers": [], "generations": [], "deaths": [], "changes": []}
    shown.see({**nothing, "state": "waiting", "reason": "no node of that kind"})
    assert shown.line() == "waiting: no node of that kind"
    shown.add(RoundReport(1, {}, 1))
    shown.add(RoundReport(2, {"loss": 0.5}, 2))
    shown.see({**nothing, "state": "running", "reason": "", "workers": [{"node": "a"}]})
    assert shown.line() == "round 2 of at most 11   loss 0.5   generation 2   on a"
    assert [event.plain for event in shown._events] == ["round 2: goes on in generation 2"]
    course = {
        "generations": [{"number": 1, "reason": "a joined, b joined"}, {"number": 2, "reason": "b was reported"}],
        "deaths": [{"generation": 1, "reason": "its process ended"}],
    }
    for _ in range(2):  # a reason is told once
        shown.see({**nothing, **course, "state": "running", "reason": ""})
    why = "b was reported (its process ended)"
    assert [event.plain for event in shown._events] == [f"round 2: goes on in generation 2: {why}"]
    shown.add(RoundReport(9, {"loss": 0.4}, 4))  # the third finished no round
    course["generations"] += [{"number": 3, "reason": "c joined"}, {"number": 4, "reason": "d joined"}]
    shown.see({**nothing, **course, "state": "running", "reason": ""})
    assert shown._events[-1].plain == "round 9: goes on in generation 4: c joined, d joined"
    for _ in range(2):
        changes = [{"round": 8, "values": {"learning_rate": 0.05, "max_rounds": 300.0}}]
        shown.see({**nothing, **course, "state": "running", "reason": "", "changes": changes})
    assert shown._events[-1].plain == "round 8: learning_rate=0.05, max_rounds=300" and len(shown._events) == 3
    assert shown.line().startswith("round 9 of at most 301")


def drawn(shown: JobScreen, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(shown)
    return console.file.getvalue().splitlines()


def test_a_job_on_the_screen_shows_where_the_time_goes_within_80_columns() -> None:
    shown = JobScreen("late")
    shown.add(RoundReport(1, {"loss": 0.5}, 1))
    assert not any("compute" in line for line in drawn(shown, 80))
    phases = {"compute": 0.030, "wait": 0.006, "reduce": 0.002, "update": 0.002, "round": 0.041, "rows_per_s": 2.51e6}
    for round_ in range(2, 60):
        shown.add(RoundReport(round_, {"loss": 0.5 / round_, "gradient_norm": 1e-3}, 1, phases))
    names, numbers = drawn(shown, 80)[-2:]
    assert names.split() == ["round", "loss", "rows/s", "a", "round", "█", "compute", "░", "wait", "▓", "reduce", "▒", "update"]
    assert numbers.split()[:2] == ["59", "0.0084746"] and "2.5 M" in numbers
    assert all(text in numbers for text in ("41 ms", "30 ms", "6.0 ms", "2.0 ms"))
    assert numbers.rstrip().endswith("███████░░▒")


def test_phases_of_which_little_is_known_are_shown_as_far_as_they_are() -> None:
    assert sentence({}) == "" and bar({}, 8).plain == "" and bar({"round": 1.0}, 8).plain == ""
    assert sentence({"rows_per_s": 950.0}) == "950 rows/s"
    assert bar({"wait": 1.0}, 4).plain == "░░░░"


def test_logs_are_merged_by_time_and_a_traceback_stays_together(tmp_path) -> None:
    (tmp_path / "a.log").write_text("2026-01-01 10:00:00,5 one\nTraceback\n  line\n2026-01-01 10:00:02,0 four\n")
    (tmp_path / "bb.log").write_text("2026-01-01T10:00:01.0 three\n")
    lines = merged({"a": tmp_path / "a.log", "bb": tmp_path / "bb.log"})
    assert [line.partition("| ")[2].split()[-1] for line in lines] == ["one", "Traceback", "line", "three", "four"]
    assert lines[0].startswith("a  | ")


def test_words_of_the_command_line_become_values() -> None:
    class Estimator:
        def __init__(self, C: float = 1.0, solver: str = "lbfgs", categorical: tuple = (), features: object = None) -> None: ...

    assert names(None) is None and names("a, b,,c") == ["a", "b", "c"]
    assert parameter("C", "0.5", Estimator) == 0.5
    assert parameter("solver", "gd", Estimator) == "gd"
    assert parameter("categorical", "month,hour", Estimator) == ["month", "hour"]
