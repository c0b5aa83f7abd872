"""What the steward makes of a picture beside the machine's decisions; the whole of it runs in tests/whole_path."""

import pyarrow as pa
from store_cluster import StoreCluster

from muskox.coordination import Config, layout
from muskox.store import remove_dataset
from muskox.store.care.collection import Collected, Collector
from muskox.store.care.kept import Manifests, find_kept
from muskox.store.care.steward import Inventory, Steward, surplus
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


class Slow(Collector):
    """A collection in whose last moment `doomed` datasets are removed."""

    doomed: tuple[str, ...] = ()

    def step(self, config: Config, fence: int = 0) -> Collected | None:
        done = super().step(config, fence)
        for name in self.doomed:
            remove_dataset(self._home.session, name)
        self.doomed = ()
        return done


def test_what_is_removed_while_a_collection_ends_is_collected_by_the_next(cluster: StoreCluster) -> None:
    for name in ("early", "late"):
        cluster.put(name, pa.table({"i": range(100)}), shards=2)
    manifests, config = Manifests(cluster.home), Config(layout.ConfigRecord())
    steward = Steward(cluster.home, lambda: 0)
    known = steward._known(0, config)
    collector = Slow(cluster.home, manifests, lambda: find_kept(cluster.home, manifests, is_strict=True), list)
    collector.doomed, steward._collector = ("late",), collector
    remove_dataset(cluster.session, "early")
    for left in (["late@1"], []):
        steward._collect(0, known, config)
        assert cluster.session.children(layout.TRASH) == left
