"""How what a cluster keeps fares, for people and scripts: a dataset's replicas, the storage as a whole, the nodes' disks.

A dataset's health is told by what is written down and who is live: one look, no node is asked. Damage on a disk is seen by the
node that scrubs it and by the coordinator, whose record tells how the storage as a whole stands.
"""

from collections.abc import Collection, Iterator
from typing import Any

from muskox.client.capacity import capacity
from muskox.coordination import Session, layout, live_members, read_config, stored
from muskox.store import DatasetInfo, Holders, count_units, read_holders

LOST_SHOWN = 3
MB = 1_000_000


def dataset_health(session: Session, info: DatasetInfo, live: Collection[str]) -> dict[str, Any]:
    """Return where a version lies, how many units it has, how many of them too few live nodes hold, and how many none."""
    if info.record.registered:
        return {"place": "registered", "units": 0, "below": 0, "gone": 0}
    return holders_health(read_holders(session, info), live)


def holders_health(holders: Collection[Holders], live: Collection[str]) -> dict[str, Any]:
    """Return the same for a version whose holders are known; none hold it where an object store does."""
    if not holders:
        return {"place": "object store", "units": 0, "below": 0, "gone": 0}
    counts = [(sum(node in live for node in run), each.replicas) for each in holders for run in each.runs]
    below = sum(have < wanted for have, wanted in counts)
    return {"place": "nodes", "units": len(counts), "below": below, "gone": sum(not have for have, _ in counts)}


def health_words(health: dict[str, Any]) -> str:
    """Return a dataset's health in a few words.

    >>> health_words({"place": "nodes", "units": 12, "below": 4, "gone": 0})
    '4 of 12 below'
    """
    if health["place"] != "nodes":
        return str(health["place"])
    if health["gone"]:
        return f"{health['gone']:,} of {health['units']:,} away"
    return f"{health['below']:,} of {health['units']:,} below" if health["below"] else "good"


def storage(session: Session) -> dict[str, Any]:
    """Return how all that is kept stands, as the coordinator last wrote it down, and a sentence on it."""
    cluster = session.find(layout.CLUSTER, layout.ClusterRecord)  # none while the first node has not come
    store = "" if cluster is None else cluster[0].store
    found = session.find(layout.REPAIR, stored.RepairRecord)
    if store:
        return {"store": store, "sentence": f"storage: everything lies in {store}; local disks are caches"}
    if found is None:
        return {"store": "", "sentence": "storage: nobody has looked at it yet"}
    record = found[0]
    fields = ("units", "below", "endangered", "lost", "copies", "bytes", "moving")
    sentence = "; ".join(storage_words(record, read_config(session)["repair_after_s"]))
    return {"store": "", **{field: getattr(record, field) for field in fields}, "sentence": f"storage: {sentence}"}


def storage_words(record: stored.RepairRecord, repair_after_s: float) -> Iterator[str]:
    """Yield what there is to say of the storage, the worst first."""
    if record.lost:
        more = f" and {len(record.lost) - LOST_SHOWN} more" if len(record.lost) > LOST_SHOWN else ""
        listed = ", ".join(record.lost[:LOST_SHOWN])
        yield f"LOST: {listed}{more} lie on no live node, until one that has them comes back"
    below = record.below - len(record.lost)
    if below > 0 and record.copies:
        yield f"repairing {_of(below, record.units)}, {megabytes(record.bytes)} to copy"
    elif below > 0:
        yield (
            f"{_of(below, record.units)} {'has' if below == 1 else 'have'} too few replicas: repair begins "
            f"{repair_after_s:g} s after a node left, and needs nodes that can take them"
        )
    elif not record.units:
        yield "nothing is kept yet"
    elif not record.lost:
        yield f"all {record.units:,} units have their replicas"
    if record.moving and below <= 0:
        yield f"{record.moving:,} {'moves' if record.moving == 1 else 'move'} to other nodes, {megabytes(record.bytes)} to copy"


def megabytes(count: int) -> str:
    """Return bytes as MB, one digit below 10.

    >>> megabytes(120_400_000), megabytes(1_240_000)
    ('120 MB', '1.2 MB')
    """
    return f"{count / MB:.1f} MB" if count < 10 * MB else f"{count / MB:,.0f} MB"


def _of(count: int, units: int) -> str:
    return f"{count:,} of {units:,} units"


def nodes(session: Session) -> list[dict[str, Any]]:
    """Return every node that the cluster knows, live or away: its rack, its disk, whether it drains, what lies on it."""
    members = live_members(session)
    units, resources = count_units(session), capacity(session, members)
    drained = session.children(layout.DRAINS)
    known = sorted({*members, *session.children(layout.DISKS), *units})
    return [
        {
            "name": name,
            "live": name in members,
            "draining": name in drained,
            "rack": members[name].rack if name in members else "",
            "resources": resources.get(name, {}),
            "units": units[name],
            "disk": disk(session, name),
        }
        for name in known
    ]


def disk(session: Session, node: str) -> dict[str, Any]:
    """Return what a node last said of its disk; nothing if it never did. `bad` counts what it found damaged or gone."""
    found = session.find(layout.disk(node), stored.DiskRecord)
    if found is None:
        return {}
    record = found[0]
    held, free = record.bytes_held, record.bytes_free
    return {"held": held, "free": free, "blobs": record.blobs, "bad": record.bad, "scrubbed_ms": record.scrubbed_ms}
