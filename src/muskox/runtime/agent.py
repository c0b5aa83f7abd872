"""The node: one process on one machine that keeps blobs, runs workers for its jobs, and stands for coordinator.

It owns the node's folder (locked), its one ZooKeeper session and its Flight service. Everything it does follows from what is
written in ZooKeeper: a watch only makes it look again.
"""

import fcntl
import itertools
import logging
import math
import os
import queue
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from muskox.coordination import (
    Candidacy,
    Config,
    Plane,
    Session,
    Tls,
    derive,
    found_cluster,
    layout,
    read_config,
    register,
)
from muskox.errors import CallerError, Corrupt, MuskoxError
from muskox.runtime.coordinator import Coordinator
from muskox.runtime.figures import Figures
from muskox.runtime.fingerprint import numeric_fingerprint
from muskox.runtime.guard import KeeperGuard
from muskox.runtime.job_agent import PART_S_MAX, JobAgent
from muskox.runtime.metrics import MetricsDoor
from muskox.runtime.node_context import NodeContext
from muskox.runtime.planning.places import ALL_MEMORY, Amount
from muskox.runtime.pool import start_forkserver
from muskox.runtime.progress import ProgressLog, stream_schema
from muskox.runtime.room import Room
from muskox.store import (
    BlobCache,
    BlobStore,
    Dataset,
    DatasetFlights,
    Plugins,
    Scrubber,
    Steward,
    StoreClient,
    StoreServer,
    Stream,
    find_dataset,
    open_dataset,
    open_home,
    parse_reference,
    read_holders,
    supplier,
    this_host,
)

log = logging.getLogger(__name__)

RESYNC_S = 10.0  # between looks when no watch fires
RETRY_S = 0.3  # after an error
LEAVE_S_MAX = 4.0  # from SIGTERM until we end though the coordinator has not taken our jobs from us
CLOSE_S = 1.0  # from the end of our work until the session is closed, so that nobody waits for it any longer
STOP_S_MAX = 12.0  # from SIGTERM to the end, whatever is under way
CACHE_BYTES_MIN = 1 << 30
LOCK_S_MAX = 1.0  # a mere look at the folder's lock is over long before


class NodeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to run one node.

    cores, memory_bytes, gpus : what it offers to workers; memory 0: it does not say. GPUs by the names that CUDA has for them
    rack : what fails together with this node: replicas go to different racks
    store : the URL of the object store that a new cluster shall keep everything in; "" for what the cluster has, or its nodes
    advertise : host:port under which others reach this node's Flight service, where that differs from what it listens on
    metrics_port : where Prometheus finds the node's figures, on loopback; 0 takes a free port, None serves none
    keeper_file : how to start the embedded keeper again if it dies; "" where somebody else looks after ZooKeeper
    """

    url: str
    secret: bytes
    name: str
    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    advertise: str = ""
    cores: int = 1
    memory_bytes: int = 0
    gpus: list[str] = []
    rack: str = ""
    store: str = ""
    session_timeout_s: float = 4.0
    keeper_file: str = ""
    metrics_port: int | None = None
    tls: Tls | None = None


class KeptIdentity(msgspec.Struct, frozen=True):
    """What the folder says of itself, in node.json."""

    name: str
    folder_id: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this folder is: kept in it for ever. The lock is held as long as the process lives."""

    name: str
    folder_id: str
    lock: int


def take_folder(folder: Path, name: str) -> Identity:
    """Lock the node's folder and return who it is.

    Raises
    ------
    CallerError
        If another process runs this node, or the folder belongs to a node of another name.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_S_MAX
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(lock)
                raise CallerError(f"a node runs in {folder} already: stop it, or choose another --dir") from error
            time.sleep(0.01)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    path = folder / "node.json"
    if not path.exists():
        draft = folder / "node.json.new"
        draft.write_bytes(msgspec.json.encode(KeptIdentity(name, uuid.uuid4().hex)))
        draft.replace(path)
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=KeptIdentity)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{path} is not what a node wrote: {error}") from error
    if name and kept.name != name:
        raise CallerError(f"{folder} belongs to node {kept.name!r}, not {name!r}: choose another --dir")
    return Identity(kept.name, kept.folder_id, lock)


def _cache(folder: Path) -> BlobCache:
    """Return the cache for what other nodes or an object store hold: at most half of what is free on the disk now."""
    return BlobCache(BlobStore(folder), max(shutil.disk_usage(folder.parent).free // 2, CACHE_BYTES_MIN))


class Node:
    """See the head of this file. :meth:`run` returns when the process is told to stop."""

    def __init__(self, options: NodeOptions) -> None:
        self._options = options
        self._identity = take_folder(options.folder, layout.check_name("node", options.name))
        forkserver = start_forkserver()  # before any thread, gRPC or socket
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._agents: dict[str, JobAgent] = {}
        self._ending: list[JobAgent] = []  # those of jobs that we are to work for no more
        self._is_leaving = False
        self._config = Config(layout.ConfigRecord())
        self._fingerprint = numeric_fingerprint()
        incarnation = uuid.uuid4().hex
        self._session = Session(options.url, options.secret, timeout_s=options.session_timeout_s, tls=options.tls)
        self._guard = KeeperGuard(Path(options.keeper_file)) if options.keeper_file else None
        if self._guard is not None:
            self._session.on_state(self._guard.on_state)
            self._guard.start()
        self._session.connect(timeout_s=60.0)
        found_cluster(self._session, options.store)
        flight_key = derive(options.secret, Plane.FLIGHT)
        client = StoreClient(flight_key, options.tls)
        blobs = BlobStore(options.folder)
        blobs.remove_unfinished()  # we hold the folder's lock: nobody else writes
        self._scrubber = Scrubber(
            self._session, blobs, self._identity.name, self._identity.folder_id, config=lambda: self._config
        )
        progress, figures = ProgressLog(), Figures()
        self._metrics = None if options.metrics_port is None else MetricsDoor(options.metrics_port, self._figures)
        cache, home = _cache(options.folder / "cache"), open_home(self._session, client)
        self._server = StoreServer(
            blobs,
            key=flight_key,
            host=options.host,
            port=options.port,
            tls=options.tls,
            plugins=Plugins(
                streams={"progress": Stream(stream_schema(), progress.stream)},
                doubt=self._scrubber.doubt,
                supply=supplier(home, cache),
                flights=DatasetFlights(home, supply=supplier(home, cache), is_tls=options.tls is not None),
            ),
        )
        self._server.start()
        tls = options.tls
        self._context = NodeContext(
            name=self._identity.name,
            incarnation=incarnation,
            host=options.host,
            tls=[] if tls is None else [str(tls.certificate), str(tls.key), str(tls.authority)],
            collective_key=derive(options.secret, Plane.COLLECTIVE),
            session=self._session,
            home=home,
            blobs=blobs,
            cache=cache,
            doubt=self._scrubber.doubt,
            forkserver=forkserver,
            progress=progress,
            figures=figures,
            room=Room(Amount(options.cores * 1000, options.memory_bytes or ALL_MEMORY, len(options.gpus)), options.gpus),
            config=lambda: self._config,
            starts=itertools.count(1),
        )
        candidacy = Candidacy(self._session, self._identity.name, incarnation, self._address)
        self._steward = Steward(self._context.home, lambda: self._coordinator.fence)
        self._coordinator = Coordinator(self._session, candidacy, self._replicas, self._steward.look)
        self._session.on_state(self._on_state)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        self._reconcile()
        self._coordinator.start()
        if self._metrics is not None:
            self._metrics.start()
        self._scrubber.start()
        self._steward.start()
        log.info("node %s serves at %s", self._identity.name, self._server.address)
        self._work_until(lambda event: event == "stop", math.inf)
        if self._agents and self._session.is_connected:
            self._leave()
        self._stop()

    def _work_until(self, is_enough: Callable[[str], bool], until_s: float) -> None:
        """Look whenever something has happened, until it is enough or time is up."""
        wait_s, event = 0.0, ""
        while not is_enough(event) and time.monotonic() < until_s:
            wait_s = min(self._look(), max(until_s - time.monotonic(), 0.0))
            try:
                event = self._events.get(timeout=wait_s)
            except queue.Empty:
                event = ""

    def _leave(self) -> None:
        """Say that we leave, and work on until the coordinator has taken our jobs from us: so nothing is computed again."""
        log.info("node %s leaves: its jobs go on elsewhere", self._identity.name)
        self._is_leaving = True
        self._work_until(lambda _: not self._agents, time.monotonic() + LEAVE_S_MAX)

    def _look(self) -> float:
        try:
            if self._session.is_connected:
                self._reconcile()
        except MuskoxError as error:
            log.warning("node: %s", error)
            return RETRY_S
        except Exception:  # bulkhead: the node goes on serving its blobs whatever one look met
            log.exception("node")
        return RESYNC_S

    def look(self, _: Any = None) -> None:
        self._events.put("look")

    def _end(self, *_: Any) -> None:
        """Stop; and if what is under way waits for a ZooKeeper that is away, do not wait with it."""
        if self._guard is not None:
            self._guard.end()
        self._events.put("stop")
        close_s = CLOSE_S + (LEAVE_S_MAX + PART_S_MAX if self._session.is_connected else 0.0)
        for seconds, act, arguments in ((close_s, self._session.close, []), (STOP_S_MAX, os._exit, [0])):
            timer = threading.Timer(seconds, act, arguments)
            timer.daemon = True
            timer.start()

    def _on_state(self, state: str) -> None:
        log.info("ZooKeeper session: %s", state)
        self.look()
        self._coordinator.look()
        self._steward.look()

    def _reconcile(self) -> None:
        """Be a member, know the settings, and run an agent for each assigned job."""
        register(self._session, self._member())
        self._session.version(layout.member(self._identity.name), self.look)  # who took us for dead may have removed it
        self._configure(read_config(self._session, self.look))
        found = self._session.find(layout.assignment(self._identity.name), layout.AssignmentRecord, self.look)
        wanted = {} if found is None else found[0].jobs
        self._ending = [agent for agent in self._ending if agent.is_alive()]
        for job_id in [job_id for job_id in self._agents if job_id not in wanted]:
            self._ending.append(self._agents.pop(job_id))
            self._ending[-1].want(0)
        for job_id, workers in wanted.items():
            if job_id not in self._agents:
                self._agents[job_id] = JobAgent(self._context, job_id, self._open)
                self._agents[job_id].start()
            self._agents[job_id].want(workers)

    def _configure(self, config: Config) -> None:
        if config.as_dict() != self._config.as_dict():
            self._config = config
            for agent in self._agents.values():
                agent.configure()

    def _member(self) -> layout.MemberRecord:
        return layout.MemberRecord(
            name=self._identity.name,
            folder_id=self._identity.folder_id,
            incarnation=self._context.incarnation,
            address=self._address,
            pid=os.getpid(),
            cores=self._options.cores,
            memory_bytes=self._options.memory_bytes,
            gpus=self._context.room.gpus,
            is_leaving=self._is_leaving,
            fingerprint=self._fingerprint,
            rack=self._options.rack,
            disk_bytes=shutil.disk_usage(self._options.folder).total,
            metrics="" if self._metrics is None else self._metrics.address,
            host=this_host(),
            folder=str(self._options.folder.absolute()),
        )

    @property
    def _address(self) -> str:
        return self._options.advertise or self._server.address

    def _figures(self) -> str:
        """Return this node's figures as Prometheus reads them; nothing here waits for ZooKeeper or a disk."""
        used = [agent.usage for agent in list(self._agents.values())]
        disk = self._scrubber.told
        gauges = {
            "is_coordinator": self._coordinator.fence is not None,
            "jobs_waiting": self._coordinator.waiting,
            "jobs": len(used),
            "workers": sum(usage.workers for usage in used),
            "cores": self._options.cores,
            "cores_in_use": sum(usage.cores for usage in used),
            "memory_bytes": self._options.memory_bytes,
            "memory_in_use_bytes": sum(usage.memory_bytes for usage in used),
        }
        if disk is not None:
            gauges |= {"blobs": disk.blobs, "blob_bytes": disk.bytes_held, "disk_free_bytes": disk.bytes_free}
        return self._context.figures.text(gauges)

    def _open(self, dataset: str) -> Dataset:
        return open_dataset(self._context.home, dataset)

    def _replicas(self, dataset: str) -> Sequence[Sequence[str]]:
        """Return which nodes hold each shard, by what is written down: no manifest is read, which nobody may have just now."""
        name, number = parse_reference(dataset)
        info = find_dataset(self._session, name, number)
        holders = read_holders(self._session, info)
        return [holders[0].of(shard) if holders else () for shard in range(info.record.shards)]

    def _stop(self) -> None:
        if self._guard is not None:
            self._guard.end()
        for agent in self._agents.values():
            agent.want(0)
        deadline = time.monotonic() + PART_S_MAX
        for agent in (*self._agents.values(), *self._ending):
            agent.join(timeout=max(deadline - time.monotonic(), 0.0))
        self._session.close()
        self._coordinator.end()
        self._server.stop()
