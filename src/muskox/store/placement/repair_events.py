"""What the repair machine is told and what it orders: its records, events and actions. See repair.py. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Blob = tuple[str, int]  # digest, bytes
Pair = tuple[str, str]  # digest, node: a copy that is there or shall be


@dataclass(frozen=True, slots=True)
class Unit:
    """What has one list of holders: a run of shards of a column group, or a single blob.

    key : its name, one in the cluster
    blobs : digest and bytes of each blob; a digest may be in several units
    holders : the nodes that hold it as recorded, the preferred first
    family : the units of one family are spread evenly by themselves; "" for one that stands alone
    index : of the unit in its family
    revision : grows with each change of `holders`, such as the version of their znode; by it an old picture is told from a
        new one. Always 0 if pictures and results come in the order in which they were made
    """

    key: str
    blobs: tuple[Blob, ...]
    replicas: int
    holders: tuple[str, ...]
    family: str = ""
    index: int = 0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class Node:
    """A live node.

    weight : its share of the data goes by this, such as the bytes of its disk
    bytes_free : of its disk, as it says itself
    missing : digests that it should hold and does not: gone, or found corrupt
    """

    weight: float
    bytes_free: int
    rack: str = ""
    is_draining: bool = False
    missing: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RepairOptions:
    """What bounds repair.

    away_s_max : seconds that a node may be away before its replicas are made anew elsewhere: a restart takes seconds
    patience_s : an order without an answer for so long has failed
    refusal_s : so long a node is not asked again for a copy that it failed to take
    copies_max_per_node : copies that one node sends at a time, and takes at a time
    copies_max : copies at a time in all
    bytes_free_min : of each disk, that repair leaves free
    """

    away_s_max: float = 60.0
    patience_s: float = 600.0
    refusal_s: float = 120.0
    copies_max_per_node: int = 2
    copies_max: int = 500
    bytes_free_min: int = 1 << 30


# -- events --


@dataclass(frozen=True, slots=True)
class Seen:
    """The whole picture: the live nodes, and every unit with its recorded holders."""

    nodes: Mapping[str, Node]
    units: Sequence[Unit]


@dataclass(frozen=True, slots=True)
class Copied:
    """`target` holds the blob, durably and whole. `number` is that of the order, 0 if nobody knows."""

    digest: str
    target: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class NotCopied:
    """`target` did not get the blob: it refused, or no source gave it. `number` is that of the order, 0 if nobody knows."""

    digest: str
    target: str
    reason: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """The holders of a unit were committed. `revision` is the one that they have now, 0 if unknown."""

    key: str
    holders: tuple[str, ...]
    revision: int = 0


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """The holders of a unit were not committed, or nobody knows: the next picture tells."""

    key: str
    reason: str


Event = Seen | Copied | NotCopied | Recorded | NotRecorded


# -- actions --


@dataclass(frozen=True, slots=True)
class Copy:
    """Have `target` fetch the blob from one of `sources`, the first that gives it. One that has it already says so.

    number : of the order; by it a late answer to an earlier order of the same copy is told from the answer to this one
    """

    digest: str
    bytes: int
    sources: tuple[str, ...]
    target: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """Commit these holders of a unit under the coordinator's fence, if those recorded are still `before`."""

    key: str
    before: tuple[str, ...]
    holders: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Have `node` delete these blobs of a unit, within `patience_s` or not at all; nothing recorded needs them there.

    A blob that an upload has brought to the node since the last picture was taken stays: what it is for may be recorded any
    moment.
    """

    key: str
    node: str
    digests: tuple[str, ...]


Action = Copy | Record | Drop


@dataclass(frozen=True, slots=True)
class RepairSummary:
    """How things stand, for people.

    below : units with fewer live whole replicas than they should have
    endangered : of those, the ones with none or one
    lost : units of which a blob lies on no live node, by name: they wait for a node to come back
    copies, bytes : that wait or are under way
    under_way : copies now being made
    moving : units whose holders are to change
    """

    units: int = 0
    below: int = 0
    endangered: int = 0
    lost: tuple[str, ...] = ()
    copies: int = 0
    bytes: int = 0
    under_way: int = 0
    moving: int = 0
