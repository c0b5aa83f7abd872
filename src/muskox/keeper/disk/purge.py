"""Old files: which are not needed any more."""

from pathlib import Path

from muskox.keeper.disk.names import LOG, SNAPSHOT, list_files

SNAPSHOTS_KEPT = 3  # Apache's least for autopurge: two may be damaged


def purge(folder: Path, log_folder: Path, kept: int = SNAPSHOTS_KEPT) -> list[Path]:
    """Delete all but the newest `kept` snapshots and the logs that the oldest of them needs; return what is gone.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    snapshots, logs = list_files(folder, SNAPSHOT), list_files(log_folder, LOG)
    if len(snapshots) <= kept:
        return []
    oldest = snapshots[-kept].zxid
    earlier = [log for log in logs if log.zxid <= oldest + 1]
    gone = [file.path for file in (*snapshots[:-kept], *earlier[:-1])]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone
