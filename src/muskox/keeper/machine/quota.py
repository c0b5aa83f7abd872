"""Quotas: how many znodes and bytes may lie under a path; what Apache keeps under /zookeeper/quota.

The quota of /a stands at /zookeeper/quota/a/zookeeper_limits, the count of what lies there beside it, at zookeeper_stats. Every
write under /a changes that count, without a transaction of its own: replay counts again. Of several quotas over a path the
deepest counts. All of it is read from the tree to be, so that nothing needs to be kept in step.
"""

import re

from muskox.errors import PeerError
from muskox.keeper.machine.acl import Refusal
from muskox.keeper.machine.node import Node
from muskox.keeper.machine.overlay import Overlay
from muskox.keeper.machine.paths import LIMITS, QUOTA, QUOTA_PREFIX, ROOT, STATS, parent_of
from muskox.keeper.wire.opcodes import ErrorCode, EventType

COUNT, COUNT_HARD, BYTES, BYTES_HARD = "count", "countHardLimit", "bytes", "byteHardLimit"
NONE = -1  # what is not set
SEPARATORS = re.compile("[,;]+")
LONG_NUMBER = re.compile("[+-]?[0-9]{1,19}")

Track = dict[str, int]


def decode_track(data: bytes | None) -> Track:
    """Return the numbers that a limits or stats znode holds, like "count=4,bytes=5=;countHardLimit=10".

    Raises
    ------
    PeerError
        If the data are none.
    """
    if data is None:
        raise PeerError("null where the numbers of a quota are needed")
    track: Track = {}
    for pair in drop_empty_end(SEPARATORS.split(data.decode("utf-8", "replace"))):
        parts = drop_empty_end(pair.split("="))
        if len(parts) < 2 or not LONG_NUMBER.fullmatch(parts[1] or str(NONE)):
            raise PeerError(f"{pair!r} is no number of a quota")
        track[parts[0]] = int(parts[1] or NONE)
    return track


def drop_empty_end(parts: list[str]) -> list[str]:
    while parts and not parts[-1]:
        parts.pop()
    return parts


def encode_track(track: Track) -> bytes:
    text = f"{COUNT}={track.get(COUNT, NONE)},{BYTES}={track.get(BYTES, NONE)}"
    others = [f";{name}={value}" for name, value in sorted(track.items()) if name not in (COUNT, BYTES)]
    # The sign that seems one too many keeps old parsers from what follows it.
    return (text + "=" * bool(others) + "".join(others)).encode()


def find_quota(overlay: Overlay, path: str) -> str | None:
    """Return the deepest path at or over `path` that has a quota."""
    while len(path) > 1:
        if overlay.find(f"{QUOTA}{path}/{LIMITS}") is not None:
            return path
        path = parent_of(path)
    return None


def count_created(overlay: Overlay, path: str, data: bytes | None) -> None:
    """Count a znode that was just drafted; one that is to hold a count is given it."""
    if path.startswith(QUOTA_PREFIX) and path.endswith(f"/{STATS}"):
        recount(overlay, path)
    count_change(overlay, path, 1, len(data or b""))


def count_change(overlay: Overlay, path: str, count: int, size: int) -> None:
    """Add to the count of the quota over `path`."""
    top = find_quota(overlay, path)
    stats_path = f"{QUOTA}{top}/{STATS}"
    node = overlay.find(stats_path) if top else None
    if node is None:
        return
    try:
        track = decode_track(node.data)
    except PeerError:
        return  # a client wrote there what is no count; Apache stops here
    track[COUNT] = track.get(COUNT, NONE) + count
    track[BYTES] = track.get(BYTES, NONE) + size
    overlay.put(stats_path, with_track(stats_path, node, track), EventType.NONE)


def with_track(path: str, node: Node, track: Track) -> Node:
    """Return a stats znode with other numbers, and all else as it was."""
    return node.with_data(path, encode_track(track), node.version, node.mzxid, node.mtime)


def recount(overlay: Overlay, stats_path: str) -> None:
    """Put into a stats znode what lies under its path."""
    node = overlay.find(stats_path)
    if node is not None:
        count, size = measure(overlay, parent_of(stats_path)[len(QUOTA) :])
        overlay.put(stats_path, with_track(stats_path, node, {COUNT: count, BYTES: size}), EventType.NONE)


def measure(overlay: Overlay, top: str) -> tuple[int, int]:
    """Return how many znodes there will be at and under `top`, and how many bytes of data."""
    tree = overlay.tree
    count = size = 0
    for path in tree.walk(top or ROOT):
        count += 1
        size += len(tree.nodes[path].data or b"")
    under = f"{top}/"
    for path, (_, node) in overlay.pending.items():
        if path != top and not path.startswith(under):
            continue
        was = tree.nodes.get(path)
        count += (node is not None) - (was is not None)
        size += len(node.data or b"" if node else b"") - len(was.data or b"" if was else b"")
    return count, size


def recount_all(overlay: Overlay) -> None:
    """Count anew for every quota of a tree that was loaded: whoever wrote it may have counted while it changed."""
    tree = overlay.tree
    overlay.begin(0)
    for path in tree.walk(QUOTA):
        stats_path = f"{parent_of(path)}/{STATS}"
        if path.endswith(f"/{LIMITS}") and stats_path in tree.nodes and path not in tree.children:
            recount(overlay, stats_path)
    overlay.settle([overlay.finish()], 0)


def check_quota(overlay: Overlay, path: str, count: int, size: int) -> Refusal | None:
    """Return why so many more znodes and bytes may not lie at `path`; what goes over a soft limit is only told.

    Raises
    ------
    PeerError
        If what stands there are no numbers.
    """
    top = find_quota(overlay, path)
    limits_node, stats_node = overlay.find(f"{QUOTA}{top}/{LIMITS}"), overlay.find(f"{QUOTA}{top}/{STATS}")
    if limits_node is None:
        return None
    limits = decode_track(limits_node.data)
    wanted = [
        (name, more, limits.get(hard, NONE), limits.get(name, NONE))
        for name, hard, more in ((COUNT, COUNT_HARD, count), (BYTES, BYTES_HARD, size))
        if more and max(limits.get(hard, NONE), limits.get(name, NONE)) > NONE
    ]
    if not wanted or stats_node is None:
        return None
    stats = decode_track(stats_node.data)
    for name, more, hard_limit, soft_limit in wanted:
        kind, limit = ("hard", hard_limit) if hard_limit > NONE else ("soft", soft_limit)
        will_be = stats.get(name, NONE) + more
        if will_be > limit:
            sentence = f"the quota of {top} is exceeded: {name} would be {will_be}, its {kind} limit is {limit}"
            overlay.excess.add(path, sentence, kind == "hard")
            if kind == "hard":
                return Refusal(ErrorCode.QUOTA_EXCEEDED, sentence)
    return None
