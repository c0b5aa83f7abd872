"""Go back to an earlier transaction, by hand: for a folder that is damaged, or a change that should not have been made.

Nothing is deleted: what lies after is moved into a folder beside the files, from where it can be put back. All that can be
refused is refused before anything is changed. Cut off on the way, it leaves a folder that a keeper does not start on, or that
is as it was; to repeat it is safe.
"""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from muskox.errors import CallerError, Corrupt
from muskox.keeper.disk.entries import FILE_HEAD_BYTES, Scan
from muskox.keeper.disk.files import SYSTEM_DISK
from muskox.keeper.disk.inspect import find_folders
from muskox.keeper.disk.loading import load, mapped
from muskox.keeper.disk.lock import lock_folder
from muskox.keeper.disk.names import LOG, SNAPSHOT, DatedFile, list_files
from muskox.keeper.disk.recovery import EPOCH_BITS, relevant_logs


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was done.

    Parameters
    ----------
    zxid : the last transaction that the folder has now
    removed_to : the folder, beside the files, with what was moved and with whole copies of what was cut; None if nothing was.
        If the logs lie elsewhere, they have a folder of the same name there
    moved : files that were moved there, by their names before
    cut : logs that were cut, each with the byte at which
    """

    zxid: int
    removed_to: Path | None
    moved: tuple[Path, ...]
    cut: tuple[tuple[Path, int], ...]


class Plan(NamedTuple):
    """What must go: whole files, and the rest of a log behind a byte."""

    moved: list[Path]
    cut: list[tuple[Path, int]]


def repair(data_dir: Path, truncate_at: int, log_dir: Path | None = None) -> RepairReport:
    """Make zxid `truncate_at` the last transaction of a folder that no keeper uses.

    Raises
    ------
    Unavailable
        If a keeper has the folder locked.
    CallerError
        If the folder cannot be brought to that transaction; nothing has been changed then.
    OSError
        If the disk refuses.
    """
    folder, log_folder = find_folders(data_dir, log_dir)
    roots = dict.fromkeys(root.resolve() for root in (data_dir, log_dir or data_dir))
    locks = [lock_folder(root) for root in roots]
    try:
        plan = make_plan(list_files(folder, SNAPSHOT), list_files(log_folder, LOG), truncate_at)
        name = f"removed-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        carry_out(plan, name)
        touched = bool(plan.moved or plan.cut)
        return RepairReport(truncate_at, data_dir / name if touched else None, tuple(plan.moved), tuple(plan.cut))
    finally:
        for lock in locks:
            os.close(lock)


def make_plan(snapshots: list[DatedFile], logs: list[DatedFile], zxid: int) -> Plan:
    """Return what must go so that `zxid` is the last transaction.

    Raises
    ------
    CallerError
        If no whole snapshot, and whole logs after it, lead to `zxid`.
    """
    base = find_base(snapshots, logs, zxid)
    moved = [file.path for file in snapshots if file.zxid > zxid]
    cut: list[tuple[Path, int]] = []
    reached = base
    needed = relevant_logs(logs, base)
    for log in logs:
        if log.zxid > zxid:
            moved.append(log.path)
        elif log in needed:
            last, end, size = read_up_to(log, reached, zxid)
            reached = max(reached, last)
            if end <= FILE_HEAD_BYTES or (last < zxid == base):
                moved.append(log.path)  # the snapshot has all that is wanted of it
            elif end < size:
                cut.append((log.path, end))
    if reached != zxid:
        raise CallerError(
            f"zxid {zxid:#x} cannot be reached: from the newest whole snapshot before it, {base:#x}, the logs lead to "
            f"{reached:#x}; give that, or an earlier one"
        )
    return Plan(moved, cut)


def find_base(snapshots: list[DatedFile], logs: list[DatedFile], zxid: int) -> int:
    """Return the zxid of the newest whole snapshot that is not after `zxid`; 0 if the logs begin with the first transaction."""
    for file in reversed(snapshots):
        if file.zxid <= zxid:
            try:
                load(file.path, file.zxid)
            except Corrupt:
                continue
            return file.zxid
    if not snapshots and logs and logs[0].zxid <= 1:
        return 0
    raise CallerError(f"there is no whole snapshot at or before zxid {zxid:#x}, so nothing can go back to it")


def read_up_to(log: DatedFile, before: int, zxid: int) -> tuple[int, int, int]:
    """Return the last transaction of a log that is not after `zxid`, where it ends, and how long the file is.

    It stops where something is damaged, or missing after `before`.
    """
    last, end = 0, FILE_HEAD_BYTES
    with mapped(log.path) as data:
        scan = Scan(log.path.name, data)
        try:
            for entry in scan:
                at = entry.header.zxid
                known = max(before, last)
                if at > zxid or (at > known + 1 and at >> EPOCH_BITS == known >> EPOCH_BITS):
                    return last, scan.end, len(data)
                last = at
            end = scan.end
        except Corrupt:
            end = scan.end
        return last, end, len(data)


def carry_out(plan: Plan, name: str) -> None:
    """Do what is planned, last files first: what is left is then never a folder that ends somewhere else."""
    for path, _ in plan.cut:
        copy = path.parent.parent / name / path.name
        make_removed(copy.parent)
        shutil.copy2(path, copy)
        handle = os.open(copy, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(handle)
        os.close(handle)
    for path in plan.moved:
        target = path.parent.parent / name
        make_removed(target)
        path.rename(target / path.name)
        SYSTEM_DISK.sync_folder(target)
        SYSTEM_DISK.sync_folder(path.parent)
    for path, end in plan.cut:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.ftruncate(handle, end)
        os.fsync(handle)
        os.close(handle)


def make_removed(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir()
        SYSTEM_DISK.sync_folder(folder.parent)
