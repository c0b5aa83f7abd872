"""Column groups: every column in exactly one, in the order of the dataset; a reader touches only what it needs."""

import pytest

from muskox.errors import CallerError
from muskox.store.placement.groups import GROUPS_MAX, parse_groups, touched

COLUMNS = ["id", "user", "body", "x", "y"]


def test_groups_are_named_and_one_may_take_the_rest() -> None:
    groups = parse_groups(" ids: user, id ;text:body; features:*", COLUMNS)
    assert groups == {"ids": ["id", "user"], "text": ["body"], "features": ["x", "y"]}
    assert parse_groups("", COLUMNS) == {"": COLUMNS}
    assert parse_groups("a:id,user,body;b:x,y", COLUMNS) == {"a": ["id", "user", "body"], "b": ["x", "y"]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ids", "'ids' is not NAME:COLUMN,COLUMN"),
        (":id", "is not NAME:COLUMN"),
        ("a:id;a:x;b:*", "is named twice"),
        ("a:nope;b:*", "names 'nope': no such column; this data has id, user"),
        ("a:id;b:id;c:*", "column 'id' is in the groups 'a' and 'b'"),
        ("a:*;b:*", "one column, one group"),
        ("a:id", "column 'user' is in no group"),
        ("a:;b:*", "group 'a' has no column"),
        ("a:id,user,body,x,y;b:*", "group 'b' has no column"),
        (";".join(f"g{i}:c{i}" for i in range(GROUPS_MAX + 1)), f"at most {GROUPS_MAX} column groups"),
    ],
)
def test_what_cannot_be_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(CallerError, match=complaint):
        parse_groups(text, COLUMNS)


def test_only_the_groups_of_the_wanted_columns_are_touched() -> None:
    groups = parse_groups("ids:id,user;text:body;features:*", COLUMNS)
    assert touched(groups, ["y", "id"]) == [0, 2] and touched(list(groups.values()), ["body"]) == [1]
    assert touched(groups, None) == [0, 1, 2]
    assert touched(groups, []) == [0], "rows are counted somewhere"
