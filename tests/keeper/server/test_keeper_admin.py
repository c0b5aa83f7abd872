"""The AdminServer's commands, as far as they need no Apache beside them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from operators import lived_in

from muskox.keeper.server.admin import BY_NAME, COMMANDS, answer, pretty, run
from muskox.keeper.server.http import Request

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


def ask(path: str) -> Request:
    return Request(path, {}, {})


@given(VALUES)
def test_what_is_laid_out_reads_back_the_same(value: Any) -> None:
    assert json.loads(pretty(value)) == value


def test_the_layout_is_jacksons() -> None:
    value = {"a": [{"b": 1}, {"c": [1, "x"]}], "e": {}, "f": [], "g": None, 5: True}
    assert pretty(value) == (
        '{\n  "a" : [ {\n    "b" : 1\n  }, {\n    "c" : [ 1, "x" ]\n  } ],\n  "e" : { },\n  "f" : [ ],\n'
        '  "g" : null,\n  "5" : true\n}'
    )


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_command_tells_its_name_and_no_error(tmp_path: Path, name: str) -> None:
    _, status = lived_in(tmp_path)
    told = run(status, name, {"traceMask": "7"})
    assert told["command"] in {command.names[0] for command in COMMANDS if name in command.names}
    assert told["error"] is None or name in ("leader", "lead")
    json.loads(pretty(told))


def test_commands_that_need_a_server_say_so_once_it_stops(tmp_path: Path) -> None:
    _, status = lived_in(tmp_path)
    status.is_serving = False
    for name, command in BY_NAME.items():
        error = run(status, name, {"traceMask": "7"})["error"]
        assert (error == "This ZooKeeper instance is not currently serving requests") == command.needs_server, name


def test_tls_connections_are_listed_apart(tmp_path: Path) -> None:
    world, status = lived_in(tmp_path)
    told = run(status, "connections", {})
    assert [each["session_id"] for each in told["connections"]] == [world.sessions[1].session_id]
    assert [each["session_id"] for each in told["secure_connections"]] == [world.sessions[2].session_id]


@pytest.mark.parametrize("mask", ["x", "", "9223372036854775808"])
def test_a_trace_mask_that_is_no_long_is_refused(tmp_path: Path, mask: str) -> None:
    _, status = lived_in(tmp_path)
    assert run(status, "stmk", {"traceMask": mask})["error"] == f"setTraceMask requires long traceMask argument, got {mask}"


def test_names_of_znodes_stay_what_they_are(tmp_path: Path) -> None:
    world, status = lived_in(tmp_path)
    path = '/é"<script>\u2028'
    world.create(1, path)
    world.get(1, path, watch=True)
    response = answer(status, ask("/commands/wchp"))
    assert path in json.loads(response.body)["path_to_session_ids"]
    assert response.content_type == "application/json"


@pytest.mark.parametrize(
    ("path", "code"), [("/", 404), ("/commands", 200), ("/commands/", 200), ("/commands/x", 200), ("/c", 404)]
)
def test_paths_are_apaches(tmp_path: Path, path: str, code: int) -> None:
    _, status = lived_in(tmp_path)
    assert answer(status, ask(path)).status == code
