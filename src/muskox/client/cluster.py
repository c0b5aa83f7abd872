"""Cluster: what a Python program holds of a running cluster. Put data, train, evaluate, predict, look, coordinate.

It owns one ZooKeeper session and one Flight client. Nothing here decides anything: what is submitted goes on without it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from muskox import runtime
from muskox.client import health, views
from muskox.client.folder import LocalFolder, default_folder
from muskox.coordination import (
    Lock,
    Plane,
    Semaphore,
    Session,
    Tls,
    barrier,
    derive,
    layout,
    live_members,
    queue,
    read_cluster,
    read_config,
    read_secret,
    tls_from_environment,
    write_setting,
)
from muskox.engines import ClusterDataset, Nodes
from muskox.errors import CallerError
from muskox.program import RoundReport, RunOptions
from muskox.records import Record
from muskox.store import (
    CheckOptions,
    CheckReport,
    Difference,
    Home,
    PutOptions,
    ReplicaHealth,
    Rows,
    StoreClient,
    check_rows,
    count_units,
    difference,
    drain,
    find_dataset,
    list_datasets,
    needed_by,
    open_dataset,
    open_home,
    parse_reference,
    put_dataset,
    remove_dataset,
    remove_version,
    undrain,
)

if TYPE_CHECKING:
    from kazoo.recipe.barrier import Barrier, DoubleBarrier
    from kazoo.recipe.queue import LockingQueue

    from muskox.learn import LogisticRegression


def connect(
    url: str | None = None,
    *,
    secret_file: str | Path | None = None,
    dir: str | Path | None = None,  # noqa: A002
) -> "Cluster":
    """Connect to a running cluster.

    Parameters
    ----------
    url : ``zk://host:port[,host:port...]/chroot``; None takes MUSKOX_ZK, else the cluster of `dir`
    secret_file : the cluster's secret; None takes MUSKOX_SECRET_FILE, else the one in `dir`
    dir : the folder of `muskox up`; None takes MUSKOX_DIR, else ~/.muskox

    Clusters of several machines speak TLS: MUSKOX_TLS_CERT, MUSKOX_TLS_KEY and MUSKOX_TLS_CA name our certificate, its key and
    the authority.

    Raises
    ------
    CallerError
        If there is no such cluster, or the secret is not its own.
    Unavailable
        If its ZooKeeper does not answer.
    """
    import os

    folder = LocalFolder(Path(dir) if dir is not None else default_folder())
    url = url or (None if dir is not None else os.environ.get("MUSKOX_ZK")) or folder.get_living().url
    file = secret_file or (None if dir is not None else os.environ.get("MUSKOX_SECRET_FILE")) or folder.secret_file
    cluster = Cluster(url, read_secret(Path(file)), folder=folder, tls=tls_from_environment())
    try:
        read_cluster(cluster.session)
    except CallerError:
        cluster.close()
        raise
    return cluster


class Cluster:
    """A connection to a cluster; make one with :func:`muskox.connect` or :func:`muskox.local`."""

    def __init__(self, url: str, secret: bytes, *, folder: LocalFolder | None = None, tls: Tls | None = None) -> None:
        self.session = Session(url, secret, tls=tls).connect()
        self.client = StoreClient(derive(secret, Plane.FLIGHT), tls)
        self.secret = secret
        self.folder = folder

    @cached_property
    def home(self) -> Home:
        """Where the cluster's blobs are durable; asked for first when it is founded."""
        return open_home(self.session, self.client)

    @cached_property
    def _engine(self) -> Nodes:
        return Nodes(self.home)

    @property
    def url(self) -> str:
        return str(self.session.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; jobs go on."""
        self.client.close()
        self.session.close()

    # -- datasets --

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
        return {**view, "needed_by": needed_by(self.session, opened.name).get(opened.version, [])}

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
        return difference(opened[0], opened[1])

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

    def undrain(self, node: str) -> bool:
        """Let a drained node take data again; return whether it was being drained."""
        return undrain(self.session, node)

    # -- jobs --

    def submit(
        self,
        estimator: "LogisticRegression",
        dataset: str | ClusterDataset,
        target: str,
        *,
        name: str,
        workers: int | None = None,
        features: list[str] | None = None,
    ) -> str:
        """Submit the training of `estimator` and return the job's id; the model will be called `name`."""
        opened = self.dataset(dataset) if isinstance(dataset, str) else dataset
        program = estimator.program(target, features)
        lineage = {"estimator": type(estimator).__name__, "target": target, "parameters": program.parameters()}
        options = RunOptions(workers=workers, name=name, lineage=lineage)
        spec = self._engine.spec(program, opened, options)
        return runtime.submit(self.home, spec)

    def jobs(self) -> list[dict[str, Any]]:
        """Return every job, newest first."""
        found = [self.job(job_id) for job_id in self.session.children(layout.JOBS)]
        return sorted(found, key=lambda job: (-int(job["submitted_ms"]), job["id"]))

    def job(self, job_id: str) -> dict[str, Any]:
        """Return where the job stands and who works for it; CallerError if there is none."""
        return views.job(self.session, job_id)

    def follow(self, job_id: str) -> Iterator[RoundReport]:
        """Yield the job's rounds as they finish, until it is final."""
        return runtime.follow(self.home, job_id)

    def wait(self, job_id: str) -> dict[str, Any]:
        """Wait until the job is final and return it."""
        runtime.job_state(self.session, job_id)
        runtime.wait(self.session, job_id)
        return self.job(job_id)

    def cancel(self, job_id: str) -> bool:
        """Cancel the job; return whether it was not over already."""
        return runtime.cancel(self.session, job_id)

    # -- models --

    def models(self) -> list[dict[str, Any]]:
        from muskox.serve import list_models

        return [views.model(name, record) for name, record in list_models(self.session)]

    def model_info(self, name: str) -> dict[str, Any]:
        from muskox.serve import get_model

        return views.model(name, get_model(self.session, name))

    def model_record(self, name: str) -> Record:
        """Return the model as a record, its digest checked."""
        from muskox.serve import read_model

        return read_model(self.home, name)

    def model(self, name: str) -> "LogisticRegression":
        """Return the model as a fitted estimator."""
        from muskox.learn import load_model

        return load_model(self.model_record(name))

    def _record(self, model: "str | LogisticRegression") -> Record:
        return self.model_record(model) if isinstance(model, str) else model.model_record_

    def evaluate(
        self,
        model: "str | LogisticRegression",
        dataset: str | ClusterDataset,
        *,
        target: str | None = None,
        workers: int | None = None,
    ) -> dict[str, Any]:
        """Score a dataset in parallel: AUC, log loss, accuracy, confusion matrix, exact over all shards."""
        from muskox.evaluate import EvaluateProgram

        opened = self.dataset(dataset) if isinstance(dataset, str) else dataset
        record = self._record(model)
        program = EvaluateProgram(record, target or str(record["parameters"]["target"]))
        result = opened.run(program, RunOptions(workers=workers)).result
        return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in result.items()}

    def predict(
        self,
        model: "str | LogisticRegression",
        dataset: str | ClusterDataset,
        output: str | Path,
        *,
        columns: Sequence[str] = (),
        workers: int | None = None,
    ) -> dict[str, Any]:
        """Predict a dataset in parallel into Parquet files under `output`, a folder that every node reaches.

        Each file has the columns "prediction" and "probability", and those of the dataset that `columns` names. Return the
        manifest, which is also written to `output`: what it does not name does not count.
        """
        from muskox.serve import PredictProgram

        opened = self.dataset(dataset) if isinstance(dataset, str) else dataset
        program = PredictProgram(self._record(model), str(Path(output).absolute()), tuple(columns))
        return opened.run(program, RunOptions(workers=workers)).result

    # -- the cluster itself --

    def status(self) -> dict[str, Any]:
        """Return ZooKeeper's address, the keeper's pid, the live nodes, and the jobs that are not over."""
        keeper = None if self.folder is None else self.folder.keeper_pid()
        return views.status(self.session, keeper)

    def config(self) -> dict[str, float]:
        return read_config(self.session).as_dict()

    def set_config(self, name: str, value: Any) -> None:
        write_setting(self.session, name, value)

    def lock(self, name: str) -> Lock:
        """Return a fair lock with a fence number; see :class:`muskox.coordination.Lock`."""
        return Lock(self.session, name)

    def semaphore(self, name: str, leases: int) -> Semaphore:
        return Semaphore(self.session, name, leases)

    def barrier(self, name: str, parties: int | None = None) -> "Barrier | DoubleBarrier":
        return barrier(self.session, name, parties)

    def queue(self, name: str) -> "LockingQueue":
        return queue(self.session, name)
