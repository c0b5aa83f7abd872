"""What the steward makes of a picture beside the machine's decisions; the whole of it runs in tests/whole_path."""

from muskox.store.care.steward import Inventory, surplus
from muskox.store.placement.repair import Copied, Node, Seen, Unit

NODE = Node(weight=1.0, bytes_free=1 << 40)


def inventory(*digests: str) -> Inventory:
    return Inventory(frozenset(digests), ("i", 0), 0.0, 0)


def unit(key: str, digest: str, *holders: str) -> Unit:
    return Unit(key, ((digest, 1),), 2, holders)


def test_copies_that_nobody_wrote_down_are_told_of_where_one_is_lacking() -> None:
    """cat was away while its run went to others; it came back, then bob died: cat's copy may be the last one."""
    seen = Seen({"ann": NODE, "cat": NODE}, [unit("shards/d@1/0/0", "x", "ann", "bob")])
    assert surplus(seen, {"ann": inventory("x"), "cat": inventory("x", "y")}) == [Copied("x", "cat")]


def test_where_nothing_is_lacking_nothing_is_told() -> None:
    seen = Seen({"ann": NODE, "bob": NODE, "cat": NODE}, [unit("shards/d@1/0/0", "x", "ann", "bob")])
    assert surplus(seen, {name: inventory("x") for name in ("ann", "bob", "cat")}) == []


def test_a_node_that_lost_the_blob_counts_as_lacking() -> None:
    holed = Node(weight=1.0, bytes_free=1 << 40, missing=frozenset({"x"}))
    seen = Seen({"ann": NODE, "bob": holed, "cat": NODE}, [unit("model/m", "x", "ann", "bob")])
    assert surplus(seen, {"ann": inventory("x"), "bob": inventory(), "cat": inventory("x")}) == [Copied("x", "cat")]


def test_no_more_is_lacking_than_there_are_nodes() -> None:
    seen = Seen({"ann": NODE}, [unit("model/m", "x", "ann")])
    assert surplus(seen, {"ann": inventory("x")}) == []
