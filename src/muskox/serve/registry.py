"""The model registry: which models a cluster has, and their records, checked against their digests."""

from muskox.coordination import Session, layout
from muskox.digest import digest
from muskox.errors import Corrupt
from muskox.records import Record, unpack
from muskox.store import Home


def list_models(session: Session) -> list[tuple[str, layout.ModelRecord]]:
    """Return every model with its name, by name; one that is removed meanwhile is left out."""
    found = [(name, session.find(layout.model(name), layout.ModelRecord)) for name in session.children(layout.MODELS)]
    return [(name, entry[0]) for name, entry in found if entry is not None]


def get_model(session: Session, name: str) -> layout.ModelRecord:
    """Return what the registry knows of the model; CallerError if there is none."""
    layout.check_name("model", name)
    return session.get(layout.model(name), layout.ModelRecord, f"model {name!r}; `muskox models` lists them")[0]


def read_model(home: Home, name: str) -> Record:
    """Return the model's record, from whichever node can give it.

    Raises
    ------
    CallerError
        If there is no such model.
    Unavailable
        If no node that holds it is live.
    Corrupt
        If what lies there is another model.
    """
    entry = get_model(home.session, name)
    record = unpack(home.get(entry.blob, entry.nodes))
    found = digest(record)
    if found != entry.digest:
        raise Corrupt(f"model {name!r} is registered as {entry.digest[:12]}, but its bytes are those of {found[:12]}")
    return record
