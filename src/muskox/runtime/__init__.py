"""Our own engine's machinery: nodes, jobs, generations, workers, the collective, checkpoints. The front door.

Names are imported when first used: a forkserver that imports a worker must not start gRPC.
"""

from typing import TYPE_CHECKING

from muskox.front_door import lazy

if TYPE_CHECKING:
    from muskox.runtime.agent import Node, NodeOptions
    from muskox.runtime.changes import change, changes_of, parameters_of
    from muskox.runtime.computing import load_program
    from muskox.runtime.devices import find_memory_bytes, offered_gpus, usable_cores
    from muskox.runtime.following import follow, run
    from muskox.runtime.guard import KeeperCommand, ensure_keeper, is_being_started, is_serving, try_lock
    from muskox.runtime.jobs import JobSpec, cancel, job_state, program_record, result, submit, wait
    from muskox.runtime.pins import is_pinned, pin_environment, pinned_environment
    from muskox.runtime.processes import LIFELINE, hold_lifeline, start_detached

_HOMES = {
    "agent": ("Node", "NodeOptions"),
    "computing": ("load_program",),
    "devices": ("find_memory_bytes", "offered_gpus", "usable_cores"),
    "changes": ("change", "changes_of", "parameters_of"),
    "following": ("follow", "run"),
    "guard": ("KeeperCommand", "ensure_keeper", "is_being_started", "is_serving", "try_lock"),
    "jobs": ("JobSpec", "cancel", "job_state", "program_record", "result", "submit", "wait"),
    "pins": ("is_pinned", "pin_environment", "pinned_environment"),
    "processes": ("LIFELINE", "hold_lifeline", "start_detached"),
}

__all__ = [
    "LIFELINE",
    "JobSpec",
    "KeeperCommand",
    "Node",
    "NodeOptions",
    "cancel",
    "change",
    "changes_of",
    "ensure_keeper",
    "find_memory_bytes",
    "follow",
    "hold_lifeline",
    "is_being_started",
    "is_pinned",
    "is_serving",
    "job_state",
    "load_program",
    "offered_gpus",
    "parameters_of",
    "pin_environment",
    "pinned_environment",
    "program_record",
    "result",
    "run",
    "start_detached",
    "submit",
    "try_lock",
    "usable_cores",
    "wait",
]

__getattr__ = lazy(__name__, _HOMES)
