"""Which datasets there are: finding a version's record and manifest, listing, removing.

It owns the meaning of "name" and "name@version", and the order in which a dataset goes: first what points at it, then its
bytes.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from muskox.coordination import Delete, Operation, Refused, Session, Set, layout
from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.store.client import StoreClient
from muskox.store.directory import Directory
from muskox.store.manifest import DatasetManifest, decode_manifest

T = TypeVar("T")


VERSION_DIGITS_MAX = 10  # a version is a count of commits


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A committed version as its znode tells it, and how many versions there are."""

    name: str
    version: int
    versions: tuple[int, ...]
    record: layout.VersionRecord


def parse_reference(reference: str) -> tuple[str, int | None]:
    """Return the name and version in "name@version"; None, the latest, without one.

    >>> parse_reference("flights@2"), parse_reference("flights")
    (('flights', 2), ('flights', None))
    """
    name, at, version = reference.partition("@")
    if at and not (version.isascii() and version.isdigit() and len(version) < VERSION_DIGITS_MAX):
        raise CallerError(f"{reference!r} names no version: write {name}@2, for example, or {name} for the latest")
    return layout.check_name("dataset", name), int(version) if at else None


def find_dataset(session: Session, name: str, version: int | None = None) -> DatasetInfo:
    """Return what ZooKeeper knows of a dataset version, the latest where `version` is None.

    Raises
    ------
    CallerError
        If there is none; it names those that there are.
    """
    found = session.find(layout.dataset(name), layout.DatasetRecord)
    if found is None or not found[0].latest:
        names = ", ".join(info.name for info in list_datasets(session)) or "none yet"
        raise CallerError(f"there is no dataset {name!r}; there are: {names}")
    versions = _versions(session, name)
    number = found[0].latest if version is None else version
    record = session.find(layout.version(name, number), layout.VersionRecord)
    if record is None:
        raise CallerError(f"dataset {name!r} has no version {number}; it has: {', '.join(map(str, versions))}")
    return DatasetInfo(name, number, versions, record[0])


def list_datasets(session: Session) -> list[DatasetInfo]:
    """Return the latest version of every dataset, in order of name."""
    infos = []
    for name in session.children(layout.DATASETS):
        found = session.find(layout.dataset(name), layout.DatasetRecord)
        record = None if found is None else session.find(layout.version(name, found[0].latest), layout.VersionRecord)
        if found is not None and record is not None:
            infos.append(DatasetInfo(name, found[0].latest, _versions(session, name), record[0]))
    return infos


def read_manifest(client: StoreClient, directory: Directory, info: DatasetInfo) -> DatasetManifest:
    """Return the manifest that a version's record points at; Unavailable if no node can give it."""
    return decode_manifest(client.get_blob(directory.candidates(info.record.nodes), info.record.manifest))


def remove_dataset(session: Session, client: StoreClient, name: str) -> None:
    """Remove every version of a dataset, then, as far as nodes answer, the blobs that no other dataset uses.

    Its znode stays, with no latest version, so that version numbers are never given twice. Blobs are left to a later collection
    if any put is under way: it may be about to point at one of them. A put that begins later writes its blobs anew, and blobs
    newer than the node's clock at the beginning are spared.

    Raises
    ------
    CallerError
        If there is no such dataset.
    """
    layout.check_name("dataset", name)
    directory = Directory(session)
    infos = [find_dataset(session, name, version) for version in find_dataset(session, name).versions]
    blobs: dict[str, set[str]] = {}
    with suppress(Unavailable, Corrupt):  # what cannot be read now is left to a later collection
        blobs = _blobs_by_node(client, directory, infos)
    _remove_znodes(session, name)
    clocks = _ask(directory.live(), client.clock_ns)
    if session.children(layout.UPLOADS):
        return
    try:
        used = _blobs_by_node(client, directory, _all_versions(session))
    except (Unavailable, Corrupt):
        return  # a manifest that nobody can read now may name any of them
    live = directory.live()
    for node, digests in blobs.items():
        doomed = sorted(digests - used.get(node, set()))
        if doomed and node in live and node in clocks:
            _ask({node: live[node]}, partial(client.delete, digests=doomed, unless_newer_than_ns=clocks[node]))


def _remove_znodes(session: Session, name: str) -> None:
    while True:
        found = session.find(layout.dataset(name), layout.DatasetRecord)
        assert found is not None, "a dataset's znode is never deleted"
        versions = _versions(session, name)
        nothing = layout.DatasetRecord(latest=0)
        operations: list[Operation] = [Set(layout.dataset(name), nothing, found[1])]
        operations += [Delete(layout.version(name, version)) for version in versions]
        try:
            return session.commit(operations, lambda: not _versions(session, name))
        except Refused:
            continue  # somebody committed a version meanwhile


def _versions(session: Session, name: str) -> tuple[int, ...]:
    return tuple(sorted(int(child) for child in session.children(layout.dataset(name)) if child.isdigit()))


def _all_versions(session: Session) -> list[DatasetInfo]:
    return [find_dataset(session, info.name, version) for info in list_datasets(session) for version in info.versions]


def _blobs_by_node(client: StoreClient, directory: Directory, infos: Iterable[DatasetInfo]) -> dict[str, set[str]]:
    """Return the blobs of the versions, manifests included, by the node that holds them."""
    blobs: dict[str, set[str]] = {}
    for info in infos:
        for node in info.record.nodes:
            blobs.setdefault(node, set()).add(info.record.manifest)
        for shard in read_manifest(client, directory, info).shards:
            for node in shard.nodes:
                blobs.setdefault(node, set()).add(shard.file_digest)
    return blobs


def _ask(addresses: dict[str, str], call: Callable[[str], T]) -> dict[str, T]:
    """Return the answers of those nodes that give one."""
    answers = {}
    for node, address in addresses.items():
        try:
            answers[node] = call(address)
        except Unavailable:
            continue
    return answers
