"""What it takes to let Apache ZooKeeper go on with a keeper's folder, and a keeper with Apache's.

Both keep the same files, so nothing is converted: one server stops, the other starts on the folder. This looks whether the
files allow that, and writes down the zoo.cfg and the steps. It changes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from muskox.keeper.disk.inspect import FileKind, FolderReport, State, check
from muskox.keeper.disk.listing import NodeLine, dump

JUTE_BYTES_MAX = 0xFFFFF  # Apache's jute.maxbuffer; an entry of a log may be twice as long
TTL_KIND = "ttl"


@dataclass(frozen=True, slots=True)
class Handover:
    """Whether the other server can start on a folder, and how.

    Parameters
    ----------
    report : how the files are
    blocks : sentences on what must be done first; with none, both servers can start
    zoo_cfg : the configuration with which Apache ZooKeeper goes on, whole
    java_flags : what its Java must be told beside it
    to_apache, from_apache : the steps, one a sentence
    """

    report: FolderReport
    blocks: tuple[str, ...]
    zoo_cfg: str
    java_flags: tuple[str, ...]
    to_apache: tuple[str, ...]
    from_apache: tuple[str, ...]

    @property
    def is_ready(self) -> bool:
        return not self.blocks


def plan_handover(data_dir: Path, log_dir: Path | None = None, client_port: int = 2181, tick_ms: int = 2_000) -> Handover:
    """Return whether and how Apache ZooKeeper can go on with a folder, and a keeper afterwards.

    Parameters
    ----------
    data_dir, log_dir : where the files lie
    client_port, tick_ms : what the zoo.cfg shall say

    Raises
    ------
    CallerError
        If there is no keeper's or ZooKeeper's folder.
    OSError
        If the disk refuses.
    """
    report = check(data_dir, log_dir)
    has_ttl = report.starts and any(isinstance(line, NodeLine) and TTL_KIND in line.kind for line in dump(data_dir, log_dir))
    entry_bytes_max = max((file.entry_bytes_max for file in report.files), default=0)
    needed = (entry_bytes_max + 1) // 2
    java_flags = (f"-Djute.maxbuffer={needed}",) if needed > JUTE_BYTES_MAX else ()
    zoo_cfg = configuration(data_dir, log_dir, client_port, tick_ms, has_ttl)
    return Handover(
        report=report,
        blocks=tuple(blocks(report)),
        zoo_cfg=zoo_cfg,
        java_flags=java_flags,
        to_apache=tuple(steps_to_apache(report, java_flags)),
        from_apache=(
            "stop Apache ZooKeeper, and see that it is gone, for it locks nothing: zkServer.sh stop zoo.cfg",
            f"let the keeper's user own what it wrote: chown -R USER {folders(report)}",
            "start the keeper on the same files: muskox keeper zoo.cfg",
        ),
    )


def blocks(report: FolderReport) -> list[str]:
    found = list(report.problems)
    if report.holder is not None:
        found.append(f"the keeper with pid {report.holder} serves from {report.data_dir}: stop it first (kill {report.holder})")
    if not report.starts and not found:
        found.append(f"no server would start on {report.data_dir}: {report.advice}")
    torn = [file for file in report.files if file.kind is FileKind.LOG and file.state is State.TORN]
    found += [f"{file.path.name} ends in half a write: start a keeper once, which cuts it off, and stop it" for file in torn]
    snapshots = [file for file in report.files if file.kind is FileKind.SNAPSHOT and file.state is State.WHOLE]
    if not snapshots and not report.problems:
        found.append("there is no snapshot, without which Apache refuses a log: start a keeper once, and stop it")
    return found


def configuration(data_dir: Path, log_dir: Path | None, client_port: int, tick_ms: int, has_ttl: bool) -> str:
    lines = [
        f"tickTime={tick_ms}",
        f"dataDir={data_dir.resolve()}",
        *([f"dataLogDir={log_dir.resolve()}"] if log_dir is not None else []),
        f"clientPort={client_port}",
        "clientPortAddress=127.0.0.1",
        "maxClientCnxns=60",
        "admin.enableServer=false",
        # Without it Apache takes znodes with a time to live for ephemerals of dead sessions, and deletes them.
        *(["extendedTypesEnabled=true"] if has_ttl else []),
    ]
    return "".join(f"{line}\n" for line in lines)


def steps_to_apache(report: FolderReport, java_flags: tuple[str, ...]) -> list[str]:
    steps = []
    if report.holder is not None:
        steps.append(f"stop the keeper, so that all is on disk: kill {report.holder}")
    steps.append(f"let Apache's user own the files: chown -R zookeeper: {folders(report)}")
    steps.append("write the zoo.cfg above, and what else your keeper was told: TLS, limits, users")
    flags = f'SERVER_JVMFLAGS="{" ".join(java_flags)}" ' if java_flags else ""
    steps.append(f"start Apache ZooKeeper on it: {flags}zkServer.sh start zoo.cfg")
    return steps


def folders(report: FolderReport) -> str:
    return " ".join(dict.fromkeys(str(folder.resolve()) for folder in (report.data_dir, report.log_dir)))
