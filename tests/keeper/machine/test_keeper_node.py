"""One znode: versions wrap as in Java, owners split as Apache stores them, and the digest is Apache's."""

import pytest

from muskox.keeper.machine.node import CONTAINER_OWNER, new_node, split_owner, wrap_int
from muskox.keeper.wire.records import OPEN_ACL


@pytest.mark.parametrize(
    ("stored", "owner", "mark"),
    [
        (0, 0, 0),
        (77, 77, 0),
        (-(1 << 62), -(1 << 62), 0),  # a session of a server with a number above 127
        (CONTAINER_OWNER, 0, CONTAINER_OWNER),
        (-(1 << 56) | 1_000, 0, -(1 << 56) | 1_000),
    ],
)
def test_a_stored_owner_is_a_session_or_a_mark(stored: int, owner: int, mark: int) -> None:
    assert split_owner(stored) == (owner, mark)
    node = new_node("/a", b"", OPEN_ACL, stored, 1, 2)
    assert (node.owner, node.stored_owner) == (owner, stored)


def test_a_version_wraps_around_as_a_java_int() -> None:
    assert [wrap_int(value) for value in (5, (1 << 31) - 1, 1 << 31, -1)] == [5, (1 << 31) - 1, -(1 << 31), -1]


def test_children_are_counted_by_creates_and_seen_as_changes() -> None:
    node = new_node("/a", b"", OPEN_ACL, 0, 1, 2).with_children("/a", creates=5, child_count=2, pzxid=9)
    assert (node.cversion, node.creates, node.child_count, node.pzxid) == (8, 5, 2, 9)


@pytest.mark.parametrize("creates", [0, 7, (1 << 30) - 1, 1 << 30, (1 << 31) - 1])
@pytest.mark.parametrize("child_count", [0, 1, 5])
def test_creates_are_known_however_many_there_were(creates: int, child_count: int) -> None:
    node = new_node("/a", b"", OPEN_ACL, 0, 1, 2).with_children("/a", creates, child_count, pzxid=9)
    assert node.creates == creates
    assert node.cversion == wrap_int(creates * 2 - child_count)


def test_what_lies_under_zookeeper_counts_in_no_digest() -> None:
    shares = {path: new_node(path, b"x", OPEN_ACL, 0, 1, 2) for path in ("/zookeeper/quota", "/zookeeper", "/a", "/b")}
    assert shares["/zookeeper/quota"].digest == 0
    assert len({node.digest for node in shares.values()}) == 4
    assert shares["/a"].with_data("/a", b"y", 1, 3, 4).digest != shares["/a"].digest
