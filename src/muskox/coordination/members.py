"""Membership: a node is there as long as its ephemeral znode is.

A name belongs to a folder (whose lock proves that its former process is dead), so what an earlier process of the same folder
left behind may be removed; anybody else's may not.
"""

import contextlib

from muskox.coordination import layout
from muskox.coordination.session import Notify, Refused, Session
from muskox.errors import CallerError


def register(session: Session, record: layout.MemberRecord) -> None:
    """Make `record` visible under its node's name for as long as `session` lives. Idempotent.

    Raises
    ------
    CallerError
        If a live node of another folder has that name.
    """
    path = layout.member(record.name)
    while session.create(path, record, ephemeral=True) is None:
        found = session.find(path, layout.MemberRecord)
        if found is None:
            continue
        other, version = found
        if session.owner(path) == session.id:
            with contextlib.suppress(Refused):  # else look once more at what it is now
                if other != record:
                    session.set(path, record, version)
                return
            continue
        if other.folder_id != record.folder_id:
            raise CallerError(f"a node called {record.name!r} is a member already, at {other.address}: choose another name")
        session.delete(path)


def live_members(session: Session, notify: Notify | None = None) -> dict[str, layout.MemberRecord]:
    """Return the live nodes by name, in order of name; `notify` is called once when one comes or goes."""
    members = {}
    for name in session.children(layout.MEMBERS, notify):
        found = session.find(layout.member(name), layout.MemberRecord)
        if found is not None:
            members[name] = found[0]
    return members
