"""Paths: which are valid, and whose parent is whose. The list agrees with Apache; see test_against_apache."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muskox.keeper.machine.paths import VALID, find_fault, name_of, parent_of


@pytest.mark.parametrize("path", ["/", "/a", "/a/b", "/...", "/.a", "/a..b", "/é", "/a b", "/zookeeper/quota"])
def test_a_valid_path_has_no_fault(path: str) -> None:
    assert find_fault(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "/a/",
        "//",
        "/a//b",
        "/.",
        "/..",
        "/a/./b",
        "/a/..",
        "/\0",
        "/\x1f",
        "/\x7f",
        "/\ue000",
        "/\uffff",
        "/\U0001f600",
    ],
)
def test_an_invalid_path_has_a_fault_that_names_it(path: str) -> None:
    fault = find_fault(path)
    assert fault is not None
    assert repr(path) in fault


def test_a_parent_and_a_name_make_a_path() -> None:
    assert [(parent_of(path), name_of(path)) for path in ("/a", "/a/b", "/a/b/c")] == [("/", "a"), ("/a", "b"), ("/a/b", "c")]


@given(st.text(st.one_of(st.sampled_from("/.a"), st.characters()), max_size=8))
def test_one_look_finds_the_paths_without_a_fault(text: str) -> None:
    for path in (text, f"/{text}"):
        assert bool(VALID.fullmatch(path)) == (path != "/" and find_fault(path) is None)
