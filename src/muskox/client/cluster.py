"""Cluster: what a Python program holds of a running cluster. Put data, train, evaluate, predict, look, coordinate.

It owns one ZooKeeper session and one Flight client; what concerns datasets and the nodes that hold them is in data.py.
Nothing here decides anything: what is submitted goes on without it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from muskox import runtime
from muskox.client import views
from muskox.client.data import ClusterData
from muskox.client.folder import LocalFolder, default_folder
from muskox.client.verification import Verified, verify_model
from muskox.coordination import (
    Lock,
    Plane,
    Semaphore,
    Session,
    Tls,
    barrier,
    derive,
    layout,
    queue,
    read_cluster,
    read_config,
    read_secret,
    tls_from_environment,
    write_setting,
)
from muskox.digest import outline
from muskox.engines import ClusterDataset, Nodes
from muskox.errors import CallerError
from muskox.program import RoundReport, RunOptions, is_portable, reference, run_options
from muskox.records import Record
from muskox.store import Home, StoreClient, open_home
from muskox.trusted_code import require_trust

if TYPE_CHECKING:
    from kazoo.recipe.barrier import Barrier, DoubleBarrier
    from kazoo.recipe.queue import LockingQueue

    from muskox.learn import Estimator


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


class Cluster(ClusterData):
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

    # -- jobs --

    def submit(  # noqa: PLR0913  # what fit takes of a dataset
        self,
        estimator: "Estimator",
        dataset: str | ClusterDataset,
        target: str | None,
        *,
        name: str,
        weight: str | None = None,
        validation: str | None = None,
        workers: int | None = None,
        features: list[str] | None = None,
        options: RunOptions | None = None,
    ) -> str:
        """Submit the training of `estimator` and return the job's id; the model will be called `name`.

        options : what else there is to say of the run: resources, priority, least workers; see :class:`muskox.RunOptions`
        """
        opened = self.dataset(dataset) if isinstance(dataset, str) else dataset
        program = estimator.program(target, features, weight, validation)
        parameters = outline(reference(program)["parameters"]) if is_portable(program) else {}
        lineage = {"estimator": type(estimator).__name__, "target": target, "parameters": parameters}
        options = run_options(options, workers=workers, name=name, lineage=lineage)
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

    def job_parameters(self, job_id: str) -> list[dict[str, Any]]:
        """Return what may change while the job runs: name, value now, meaning."""
        return [asdict(parameter) for parameter in runtime.parameters_of(self.home, job_id)]

    def change_job(self, job_id: str, **values: float) -> int:
        """Change parameters of a running job; return after which round they have these values, as its model's lineage will say.

        Raises
        ------
        CallerError
            If the job is over, or cannot have these values.
        Unavailable
            If it took them not within a minute: then nothing changes.
        """
        return runtime.change(self.session, job_id, values)

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

    def verify_model(self, name: str, *, workers: int | None = None) -> Verified:
        """Train a model again from its recorded lineage and compare the digests; nothing is registered."""
        return verify_model(self.home, name, workers=workers)

    def model(self, name: str, *, trust_code: bool = False) -> Any:
        """Return the model as a fitted estimator.

        trust_code : let Python code that the model holds (a PyTorch module's) run in this process when it predicts
        """
        from muskox.learn import load_model

        return load_model(self.model_record(name), trust_code=trust_code)

    def _record(self, model: "str | Estimator") -> Record:
        if isinstance(model, str):
            return self.model_record(model)
        require_trust(model.model_record_)  # workers run what it holds of code: what is registered was trusted by a member
        return model.model_record_

    def evaluate(
        self,
        model: "str | Estimator",
        dataset: str | ClusterDataset,
        *,
        target: str | None = None,
        weight: str | None = None,
        checks: bool = True,
        workers: int | None = None,
    ) -> dict[str, Any]:
        """Score a dataset in parallel; what is measured follows from the model's task: see :mod:`muskox.evaluate`.

        target : the column to compare with; None takes that of the training
        weight : a column of numbers: a row of weight w counts as w rows
        checks : whether to look, in the same round, for columns of the model that alone give the target away: "warnings" in the
            answer has a sentence about them, of which there is a :class:`muskox.LeakageWarning`, too
        """
        from muskox.client.evaluation import evaluate

        opened = self.dataset(dataset) if isinstance(dataset, str) else dataset
        record = self._record(model)
        wanted = target or record["parameters"]["target"]
        return evaluate(record, opened, wanted, weight, checks=checks, options=RunOptions(workers=workers))

    def predict(
        self,
        model: "str | Estimator",
        dataset: str | ClusterDataset,
        output: str | Path,
        *,
        columns: Sequence[str] = (),
        workers: int | None = None,
    ) -> dict[str, Any]:
        """Predict a dataset in parallel into Parquet files under `output`, a folder that every node reaches.

        Each file has the columns of the model's answer ("prediction" and "probability" of a classifier with probabilities,
        "prediction" of a regressor, ...), and those of the dataset that `columns` names. Return the
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
