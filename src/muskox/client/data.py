"""What a Python program does with a cluster's data: put, describe, check, compare, share, remove; look at nodes and drain them.

The half of :class:`muskox.Cluster` that is about the store. Nothing here decides where anything lies.
"""

from collections.abc import Callable, Sequence
from typing import Any

from muskox.client import health, views
from muskox.coordination import Session, live_members
from muskox.engines import ClusterDataset, Nodes
from muskox.errors import CallerError
from muskox.store import (
    CheckOptions,
    CheckReport,
    Difference,
    Home,
    PutOptions,
    RegisterOptions,
    ReplicaHealth,
    Rows,
    acl,
    check_rows,
    compare_versions,
    count_units,
    drain,
    find_dataset,
    flight_token,
    grant,
    list_datasets,
    needed_by,
    open_dataset,
    parse_reference,
    put_dataset,
    register_dataset,
    remove_dataset,
    remove_version,
    revoke,
    undrain,
)


class ClusterData:
    """See the head of this file; `home` and `engine` are the cluster's."""

    session: Session
    secret: bytes

    @property
    def home(self) -> Home:
        raise NotImplementedError

    @property
    def _engine(self) -> Nodes:
        raise NotImplementedError

    def put(self, name: str, data: Any, **options: Any) -> ClusterDataset:
        """Store files, a table or a frame as a new version of dataset `name`.

        Parameters
        ----------
        data : a path, a folder or several (CSV, JSON lines, Parquet, Arrow), a pyarrow Table, a pandas or polars frame, an
            iterator of batches: see :func:`muskox.store.open_source`
        options : shards, by, groups, replicas, overwrite, append, types, reading, progress, warn, ...: see
            :class:`muskox.store.PutOptions`

        Raises
        ------
        CallerError
            If the data breaks a rule (the message names file and line), or the name is taken.
        """
        given = PutOptions(**options)
        version = put_dataset(self.home, name, data, given)
        opened = open_dataset(self.home, name, version)
        if given.warn is not None:
            for sentence in views.short_of_nodes(opened):
                given.warn(sentence)
        return ClusterDataset(opened, self._engine)

    def register(self, name: str, url: str, **options: Any) -> ClusterDataset:
        """Make a Parquet dataset known where it lies, as a new version of dataset `name`: nothing is copied.

        Parameters
        ----------
        url : a folder of Parquet files, or one file: ``s3://bucket/rides/``, ``hdfs://...``, ``file:///data/rides``
        options : types, shards, digest, overwrite, progress: see :class:`muskox.store.RegisterOptions`

        Raises
        ------
        CallerError
            If the files break a rule, or the name is taken.
        """
        version = register_dataset(self.home, name, url, RegisterOptions(**options))
        return self.dataset(f"{name}@{version}")

    def dataset(self, name: str) -> ClusterDataset:
        """Return the latest version of a dataset, or with "name@2" that one."""
        return ClusterDataset(open_dataset(self.home, name), self._engine)

    def datasets(self) -> list[dict[str, Any]]:
        """Return the latest version of every dataset, each with its health."""
        live = live_members(self.session)
        infos = list_datasets(self.session)
        return [{**views.dataset(info), "health": health.dataset_health(self.session, info, live)} for info in infos]

    def describe_dataset(self, name: str) -> dict[str, Any]:
        """Return what :meth:`datasets` tells of it; its columns, groups and skew; where each shard lies; who needs it."""
        opened = open_dataset(self.home, name)
        view = views.described(opened, live_members(self.session))
        needed = needed_by(self.session, opened.name).get(opened.version, [])
        shared = [reader.rpartition(":")[0] for reader in acl(self.session, opened.name)]
        return {**view, "needed_by": needed, "shared_with": shared}

    def describe_removal(self, name: str) -> dict[str, Any]:
        """Return what goes with "name", or "name@2" alone: versions, rows and bytes of the latest one, and who needs which."""
        name, number = parse_reference(name)
        info = find_dataset(self.session, name, number)
        versions = list(info.versions) if number is None else [number]
        need = needed_by(self.session, name)
        needed = [{"dataset": f"{name}@{each}", "who": need[each]} for each in versions if each in need]
        return {"versions": versions, "rows": info.record.rows, "bytes": info.record.bytes, "needed_by": needed}

    def verify(self, name: str, *, progress: Callable[[int, int], None] | None = None) -> list[ReplicaHealth]:
        """Let every node read and digest its replicas of a dataset again; what is bad is repaired by the coordinator.

        progress : called with the replicas that were looked at, and how many there are
        """
        return open_dataset(self.home, name).verify(progress)

    def remove_dataset(self, name: str, version: int | None = None) -> None:
        """Remove a dataset with all its versions, or only one version ("name@2" names it, too).

        Raises
        ------
        CallerError
            If there is none, a job that is not over computes on it, or the version is the latest of several.
        """
        name, number = parse_reference(name)
        number = number if version is None else version
        if number is None:
            remove_dataset(self.session, name)
            return
        info = find_dataset(self.session, name, number)
        if info.versions == (number,):
            remove_dataset(self.session, name)
            return
        busy = [who for who in needed_by(self.session, name).get(number, []) if who.startswith("job ")]
        if busy:
            raise CallerError(f"{name}@{number} is in use by {', '.join(busy[:5])}: wait for that, or cancel it first")
        if not remove_version(self.session, name, number):
            raise CallerError(
                f"{name}@{number} is the latest version of {name!r}, to which others append: put another one first, or remove "
                f"all of them with `muskox rm {name}`"
            )

    def diff(self, left: str, right: str) -> Difference:
        """Return what is other in the dataset version `right` ("flights@2") than in `left`, by their manifests alone."""
        opened = [open_dataset(self.home, name).full_manifest for name in (left, right)]
        return compare_versions(opened[0], opened[1])

    def check(
        self,
        name: str,
        *,
        target: str | None = None,
        key: Sequence[str] = (),
        against: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> CheckReport:
        """Read a dataset and return what may be wrong with it: see :func:`muskox.store.check_rows`.

        Parameters
        ----------
        target : the column of labels, for a look at contradictions
        key : the columns that name a row
        against : another dataset, which should have no rows (or keys) in common with this one
        progress : called with the rows read, and those to be read in all
        """
        rows = [
            Rows(opened.reference, opened.columns, opened.rows, opened.scan)
            for opened in (open_dataset(self.home, each) for each in (name, against) if each is not None)
        ]
        return check_rows(rows[0], CheckOptions(target, tuple(key), progress=progress), *rows[1:])

    # -- who may read --

    def flight_token(self) -> str:
        """Return the bearer token with which any Arrow Flight client reads every dataset, and does nothing else."""
        return flight_token(self.secret)

    def grant(self, name: str, user: str, password: str) -> None:
        """Let a user read every version of dataset `name` over Flight, by name and password."""
        grant(self.session, name, user, password)

    def revoke(self, name: str, user: str) -> None:
        """Take that back."""
        revoke(self.session, name, user)

    # -- nodes --

    def nodes(self) -> list[dict[str, Any]]:
        """Return every node, live or away: its rack, its disk, whether it drains, and how many units lie on it."""
        return health.nodes(self.session)

    def drain(self, node: str) -> str:
        """Ask that a node be emptied; return a sentence if some of it must stay for want of other nodes, else ""."""
        return drain(self.session, node)

    def units_on(self, node: str) -> int:
        """Return how many units of data lie on a node, by what is written down."""
        return count_units(self.session)[node]

    def is_repairing(self) -> bool:
        """Return whether copies are under way or wait, as the coordinator last wrote it down."""
        found = health.storage(self.session)
        return bool(found.get("copies") or found.get("moving"))

    def undrain(self, node: str) -> bool:
        """Let a drained node take data again; return whether it was being drained."""
        return undrain(self.session, node)
