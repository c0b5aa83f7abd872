"""What all jobs of a node share: its session, stores, keys and settings, and the numbers that make worker names unique."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext

from muskox.coordination import Config, Session
from muskox.runtime.figures import Figures
from muskox.runtime.progress import ProgressLog
from muskox.runtime.room import Room
from muskox.store import BlobCache, BlobStore, Home


@dataclass(frozen=True, slots=True)
class Usage:
    """What the workers of a job take of their node."""

    workers: int = 0
    cores: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What the jobs of a node share."""

    name: str
    incarnation: str
    host: str
    tls: list[str]
    collective_key: bytes
    session: Session
    home: Home
    blobs: BlobStore
    cache: BlobCache
    doubt: Callable[[str], None]
    forkserver: ForkServerContext
    progress: ProgressLog
    figures: Figures
    room: Room
    config: Callable[[], Config]
    starts: Iterator[int]
