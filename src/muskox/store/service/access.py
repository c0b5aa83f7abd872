"""Who may read a dataset without knowing the cluster's secret: the users on its list.

It owns `/datasets/NAME/acl`: digest users as ZooKeeper writes them, ``user:base64(sha1(user:password))``. A list holds for all
versions, those to come too, and goes when the dataset is removed: whoever puts other rows under the same name later grants
anew. It must never know how a user proves a password; that is service/callers.py's. Who holds the secret may everything.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable

from muskox.coordination import Check, Create, Operation, Refused, Session, Set, layout, stored
from muskox.errors import CallerError, Unavailable

USER_LENGTH_MAX = 64
READERS_MAX = 500  # of one dataset: the list stays below 100 kB
TRIES_MAX = 10  # of a change that somebody else's keep getting ahead of


def digest_id(user: str, password: str) -> str:
    """Return what ZooKeeper's scheme "digest" makes of a user and a password.

    >>> digest_id("super", "test")
    'super:D/InIHSb7yEEbrWz8b9l71RjZJU='
    """
    sha = hashlib.sha1(f"{user}:{password}".encode(), usedforsecurity=False)  # ZooKeeper's choice, and its users' entries
    return f"{user}:{base64.b64encode(sha.digest()).decode()}"


def user_of(reader: str) -> str:
    """Return the user's name in a digest id."""
    return reader.rpartition(":")[0]


def grant(session: Session, name: str, user: str, password: str) -> None:
    """Let a user read every version of dataset `name`; granted again, the user has the new password.

    Raises
    ------
    CallerError
        If there is no such dataset, its list is full, or the user's name or password cannot be one.
    """
    if not user or len(user) > USER_LENGTH_MAX or ":" in user or not user.isprintable():
        raise CallerError(f"user {user!r} is not valid: 1 to {USER_LENGTH_MAX} printable characters, none of them a colon")
    if not password:
        raise CallerError(f"user {user!r} needs a password")
    reader = digest_id(user, password)
    _change(session, name, lambda readers: sorted([*(each for each in readers if user_of(each) != user), reader]))


def revoke(session: Session, name: str, user: str) -> None:
    """Take a user off the list of dataset `name`, if it is on it; CallerError if there is no such dataset."""
    _change(session, name, lambda readers: [each for each in readers if user_of(each) != user])


def acl(session: Session, name: str) -> list[str]:
    """Return the digest users who may read dataset `name`, sorted; none for a dataset that only the secret opens."""
    found = session.find(layout.acl(layout.check_name("dataset", name)), stored.AclRecord)
    return [] if found is None else found[0].readers


def may_read(session: Session, name: str, reader: str) -> bool:
    """Return whether the digest user `reader` is on the list of dataset `name`."""
    return any(hmac.compare_digest(each.encode(), reader.encode()) for each in acl(session, name))


def _change(session: Session, name: str, change: Callable[[list[str]], list[str]]) -> None:
    layout.check_name("dataset", name)
    for _ in range(TRIES_MAX):
        try:
            return _change_once(session, name, change)
        except Refused:
            continue  # somebody else shared, put or removed it meanwhile
    raise Unavailable(f"others change dataset {name!r} without a pause: try again later")


def _change_once(session: Session, name: str, change: Callable[[list[str]], list[str]]) -> None:
    """Write what `change` makes of the list, in one step with a look at the dataset: it must not be removed meanwhile."""
    dataset = session.find(layout.dataset(name), stored.DatasetRecord)
    if dataset is None or not dataset[0].latest:
        raise CallerError(f"there is no dataset {name!r} to share")
    found = session.find(layout.acl(name), stored.AclRecord)
    readers = change([] if found is None else found[0].readers)
    if len(readers) > READERS_MAX:
        raise CallerError(f"dataset {name!r} is shared with {READERS_MAX} users already, and more do not fit: revoke some")
    record = stored.AclRecord(readers=readers)
    write: Operation = Create(layout.acl(name), record) if found is None else Set(layout.acl(name), record, found[1])
    session.commit([Check(layout.dataset(name), dataset[1]), write], lambda: acl(session, name) == readers)
