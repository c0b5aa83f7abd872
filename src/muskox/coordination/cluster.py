"""Making a chroot a muskox cluster, and recognising one."""

import uuid

from muskox.coordination import layout
from muskox.coordination.session import Session
from muskox.errors import CallerError


def found_cluster(session: Session, store: str = "") -> layout.ClusterRecord:
    """Return the cluster's record, writing it first if this chroot is new. Safe to call by many at once.

    store : the object store that everything is to be kept in; "" for the nodes, or for whatever the cluster has

    Raises
    ------
    CallerError
        If the cluster keeps everything elsewhere than in `store`.
    """
    session.create(layout.CLUSTER, layout.ClusterRecord(id=uuid.uuid4().hex, store=store))
    record = read_cluster(session)
    if store and record.store != store:
        have = record.store or "on its nodes"
        raise CallerError(f"the cluster at {session.address} keeps its data {have}, not in {store}: found another one for that")
    return record


def read_cluster(session: Session) -> layout.ClusterRecord:
    """Return the cluster's record.

    Raises
    ------
    CallerError
        If no node ever started here, or the layout is of another version of muskox.
    """
    record, _ = session.get(layout.CLUSTER, layout.ClusterRecord, f"muskox cluster at {session.address}: start a node there")
    if record.format != layout.FORMAT:
        raise CallerError(f"the cluster at {session.address} has layout {record.format}; this muskox knows {layout.FORMAT}")
    return record
