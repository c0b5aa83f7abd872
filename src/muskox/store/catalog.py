"""Which datasets there are: finding a version's record and manifest, listing, removing.

It owns the meaning of "name" and "name@version", and the order in which a dataset goes: first what points at it, then, by the
coordinator, its bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from muskox.coordination import Check, Create, Delete, Operation, Refused, Session, Set, layout, stored
from muskox.errors import CallerError
from muskox.store.care.holds import jobs
from muskox.store.home import Home
from muskox.store.manifest import DatasetManifest, decode_manifest
from muskox.store.placement.holders import Holders, decode_holders

VERSIONS_PER_COMMIT = 100
VERSION_DIGITS_MAX = 10  # a version is a count of commits


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A committed version as its znode tells it, and how many versions there are."""

    name: str
    version: int
    versions: tuple[int, ...]
    record: stored.VersionRecord


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
    found = session.find(layout.dataset(name), stored.DatasetRecord)
    if found is None or not found[0].latest:
        names = ", ".join(info.name for info in list_datasets(session)) or "none yet"
        raise CallerError(f"there is no dataset {name!r}; there are: {names}")
    versions = versions_of(session, name)
    number = found[0].latest if version is None else version
    record = session.find(layout.version(name, number), stored.VersionRecord)
    if record is None:
        raise CallerError(f"dataset {name!r} has no version {number}; it has: {', '.join(map(str, versions))}")
    return DatasetInfo(name, number, versions, record[0])


def list_datasets(session: Session) -> list[DatasetInfo]:
    """Return the latest version of every dataset, in order of name."""
    infos = []
    for name in session.children(layout.DATASETS):
        found = session.find(layout.dataset(name), stored.DatasetRecord)
        record = None if found is None else session.find(layout.version(name, found[0].latest), stored.VersionRecord)
        if found is not None and record is not None:
            infos.append(DatasetInfo(name, found[0].latest, versions_of(session, name), record[0]))
    return infos


def read_manifest(home: Home, info: DatasetInfo) -> DatasetManifest:
    """Return the manifest that a version's record points at; Unavailable if no node can give it."""
    found = home.session.find(layout.manifest_placement(info.name, info.version), stored.ManifestPlacement)
    nodes = [] if found is None else found[0].nodes
    return decode_manifest(home.get(info.record.manifest, nodes))


def read_holders(session: Session, info: DatasetInfo) -> list[Holders]:
    """Return who holds the shards, by column group; none where they lie in an object store or in place."""
    return [holders for holders, _ in read_placements(session, info)]


def read_placements(session: Session, info: DatasetInfo) -> list[tuple[Holders, int]]:
    """Return the same with the version of the znode that says so."""
    found = (
        session.find(layout.placement(info.name, info.version, group), stored.PlacementRecord)
        for group in range(info.record.groups)
    )
    return [(decode_holders(each[0], info.record.shards), each[1]) for each in found if each is not None]


def remove_dataset(session: Session, name: str, *, is_forced: bool = False) -> None:
    """Remove every version of a dataset. Its bytes are collected by the coordinator once nobody reads them any more.

    The older versions go first, a hundred in a step, and the latest last, with the pointer to it: who is killed on the way
    leaves a dataset with fewer versions. Its znode stays, with no latest version, so that no version number is given twice.

    Raises
    ------
    CallerError
        If there is no such dataset, or, unless `is_forced`, a job that is not over computes on it.
    """
    layout.check_name("dataset", name)
    find_dataset(session, name)
    busy = [who for (dataset, _), names in jobs(session).items() if dataset == name for who in names]
    if busy and not is_forced:
        raise CallerError(f"dataset {name!r} is in use by {', '.join(busy[:5])}: wait for that, or cancel it first")
    while True:
        found = session.find(layout.dataset(name), stored.DatasetRecord)
        assert found is not None, "a dataset's znode is never deleted"
        latest = found[0].latest
        older = [number for number in versions_of(session, name) if number != latest]
        try:
            if older:
                _trash(session, name, older[:VERSIONS_PER_COMMIT], [Check(layout.dataset(name), found[1])])
            else:
                _trash_latest(session, name, latest, found[1])
                return
        except Refused:
            continue  # somebody committed a version meanwhile, or removes it too


def _trash_latest(session: Session, name: str, latest: int, fence: int) -> None:
    """Remove the last version, the pointer to it and who may read it; Refused if somebody else is changing the dataset."""
    session.create(layout.acl(name), stored.AclRecord())  # so that no grant can come between: it goes in the same step
    shared = session.version(layout.acl(name))
    if shared is None:
        raise Refused(f"somebody else removes {name} too")
    gone: list[Operation] = [
        Set(layout.dataset(name), stored.DatasetRecord(latest=0), fence),
        Delete(layout.acl(name), shared),
    ]
    _trash(session, name, [latest] if latest else [], gone)


def remove_version(session: Session, name: str, number: int) -> bool:
    """Remove one version that is not the latest; return whether it was there to be removed."""
    found = session.find(layout.dataset(name), stored.DatasetRecord)
    if found is None or found[0].latest == number:
        return False
    try:
        _trash(session, name, (number,), [])
    except Refused:
        return False
    return True


def _trash(session: Session, name: str, numbers: Sequence[int], fence: list[Operation]) -> None:
    """Move versions out of sight, in one step: what the bytes are is kept for whoever collects them."""
    operations = list(fence)
    for number in numbers:
        record = session.find(layout.version(name, number), stored.VersionRecord)
        manifest = session.find(layout.manifest_placement(name, number), stored.ManifestPlacement)
        if record is None:
            raise Refused(f"{name}@{number} is gone already")
        kept = stored.TrashRecord(version=record[0], nodes=[] if manifest is None else manifest[0].nodes)
        children = session.children(layout.version(name, number))
        operations += [Delete(f"{layout.version(name, number)}/{child}") for child in children]
        operations += [Delete(layout.version(name, number)), Create(layout.trash(name, number), kept)]
    first = numbers[0] if numbers else None
    session.commit(operations, lambda: first is None or session.version(layout.version(name, first)) is None)


def versions_of(session: Session, name: str) -> tuple[int, ...]:
    """Return the numbers of the versions that there are, in order."""
    return tuple(sorted(int(child) for child in session.children(layout.dataset(name)) if child.isdigit()))


def all_versions(session: Session) -> list[DatasetInfo]:
    """Return every version of every dataset."""
    infos = []
    for name in session.children(layout.DATASETS):
        for number in versions_of(session, name):
            record = session.find(layout.version(name, number), stored.VersionRecord)
            if record is not None:
                infos.append(DatasetInfo(name, number, (), record[0]))
    return infos
