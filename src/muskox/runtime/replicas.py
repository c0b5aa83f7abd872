"""Small blobs (programs, checkpoints, results) on as many nodes as asked, before any znode points at them."""

import hashlib

from muskox.coordination import Session, layout, live_members
from muskox.errors import MuskoxError, Unavailable
from muskox.store import StoreClient


def put_replicated(
    session: Session, client: StoreClient, data: bytes, replicas: int, *, first: str = ""
) -> tuple[str, list[str]]:
    """Store `data` on `replicas` live nodes, `first` among them if named, and return its digest and the nodes.

    A node that does not answer is passed over for the next; fewer nodes than asked are accepted if there are no more.

    Raises
    ------
    Unavailable
        If no node takes it.
    """
    digest = hashlib.sha256(data).hexdigest()
    members = live_members(session)
    nodes: list[str] = []
    reasons: list[str] = []
    for node in preference(digest, list(members), first):
        if len(nodes) == replicas:
            break
        try:
            client.put_blob(members[node].address, data)
        except MuskoxError as error:  # away, full, or somebody else's by now: another node will do
            reasons.append(f"{node}: {error}")
        else:
            nodes.append(node)
    if not nodes:
        raise Unavailable(f"no node takes {len(data)} bytes: {'; '.join(reasons) or 'the cluster has no live node'}")
    return digest, nodes


def preference(digest: str, nodes: list[str], first: str) -> list[str]:
    """Return `nodes` in the order in which they are to hold this blob: rendezvous hashing, `first` before all."""
    score = {node: hashlib.sha256(f"{digest}/{node}".encode()).digest() for node in nodes}
    return sorted(nodes, key=lambda node: (node != first, score[node]))


def addresses_of(session: Session, nodes: list[str]) -> list[str]:
    """Return where those of `nodes` that are alive can be reached."""
    found = (session.find(layout.member(node), layout.MemberRecord) for node in nodes)
    return [record[0].address for record in found if record is not None]
