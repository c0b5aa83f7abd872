"""Registering a Parquet dataset where it lies as a version of a dataset: surveyed, written down, committed; nothing is copied.

It owns the options and the manifest of such a version. Its record (objects/in_place.py) is in the manifest, and the manifest is
kept like any other's. The files stay their owner's: nothing here, and no removal, ever writes or deletes one.

A ``file://`` URL must mean the same folder on every node, and to whoever reads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from muskox.coordination import layout, read_config
from muskox.errors import CallerError
from muskox.store.care.leases import writing
from muskox.store.commit import Commit, Fence, commit, find_fence
from muskox.store.home import Home
from muskox.store.manifest import DatasetManifest, ShardEntry, dataset_digest
from muskox.store.objects.in_place import InPlace
from muskox.store.objects.survey import survey
from muskox.store.partition.rules import ROWS
from muskox.store.put import PutProgress


@dataclass(frozen=True, slots=True)
class RegisterOptions:
    """How to register a dataset.

    types : types by column, in place of the files' own
    shards : at most so many, 12 by default; there are no more than row groups
    digest : what the version's digest covers: "stamp" the files' identities, and no row is read; "content" the rows, as that of
        a put does, and all are read
    overwrite : what to do if there is a dataset of that name; otherwise that is an error
    progress : called now and then from the calling thread, with files in phase "surveying", shards in phase "reading"
    """

    types: Mapping[str, str] | None = None
    shards: int | None = None
    digest: str = "stamp"
    overwrite: bool = False
    progress: Callable[[PutProgress], None] | None = None

    def tell(self, phase: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(PutProgress(phase, done, total))


def register_dataset(home: Home, name: str, url: str, options: RegisterOptions = RegisterOptions()) -> int:
    """Make the Parquet files at `url`, a folder or a file, a new version of dataset `name`; return its number.

    Raises
    ------
    CallerError
        If the name, the URL or the files break a rule, or the dataset exists and `overwrite` is not set.
    Unavailable
        If the files' store does not answer, nobody takes the manifest, or somebody else changed the dataset meanwhile. Nothing
        becomes visible.
    """
    layout.check_name("dataset", name)
    fence = find_fence(home.session, name)
    if fence.latest and not options.overwrite:
        raise CallerError(f"there is a dataset {name!r} already: overwrite it (--overwrite), or choose another name")
    record = survey(url, options.types, options.shards, options.digest, options.tell)
    replicas = int(read_config(home.session)["replicas"])
    with writing(home.session, name) as lease:
        how = Commit(fence.version, lease, home.uploads(replicas), replicas, what="registration", registered=url)
        return commit(home.session, _manifest(name, fence, record), how)


def _manifest(name: str, fence: Fence, record: InPlace) -> DatasetManifest:
    digests = [shard.digest for shard in record.shards]
    return DatasetManifest(
        name=name,
        version=fence.number,
        columns=record.columns,
        by=ROWS,
        shards=[ShardEntry(rows=each.rows, content_digest=each.digest, parts=[], size=each.bytes) for each in record.shards],
        digest=dataset_digest(record.types, ROWS, digests),
        groups=[("", list(record.types))],
        registered=msgspec.to_builtins(record),
    )
