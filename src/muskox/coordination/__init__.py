"""Our use of ZooKeeper: session, layout, membership, leadership with fencing, configuration, recipes. The front door."""

from muskox.coordination import course, layout, stored
from muskox.coordination.cluster import found_cluster, read_cluster
from muskox.coordination.config import SETTINGS, Config, read_config, write_setting
from muskox.coordination.keys import Plane, derive, make_secret, read_secret
from muskox.coordination.leadership import Candidacy, Candidate
from muskox.coordination.members import live_members, register
from muskox.coordination.mirror import Mirror
from muskox.coordination.recipes import Lock, Semaphore, barrier, queue
from muskox.coordination.runs import count_runs, format_runs, parse_runs
from muskox.coordination.session import (
    CHROOT,
    SESSION_TIMEOUT_S,
    Address,
    Check,
    Create,
    Delete,
    Notify,
    Operation,
    Refused,
    Session,
    Set,
    parse_url,
)
from muskox.coordination.tls import Tls, is_loopback, make_tls, tls_from_environment

__all__ = [
    "CHROOT",
    "SESSION_TIMEOUT_S",
    "SETTINGS",
    "Address",
    "Candidacy",
    "Candidate",
    "Check",
    "Config",
    "Create",
    "Delete",
    "Lock",
    "Mirror",
    "Notify",
    "Operation",
    "Plane",
    "Refused",
    "Semaphore",
    "Session",
    "Set",
    "Tls",
    "barrier",
    "count_runs",
    "course",
    "derive",
    "format_runs",
    "found_cluster",
    "is_loopback",
    "layout",
    "live_members",
    "make_secret",
    "make_tls",
    "parse_runs",
    "parse_url",
    "queue",
    "read_cluster",
    "read_config",
    "read_secret",
    "register",
    "stored",
    "tls_from_environment",
    "write_setting",
]
