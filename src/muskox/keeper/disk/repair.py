"""Go back to an earlier transaction, by hand: for a folder that is damaged, or a change that should not have been made.

Nothing is deleted: what lies after is moved into a folder beside the files, from where it can be put back.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was done.

    Parameters
    ----------
    zxid : the last transaction that the folder has now
    removed_to : the folder with copies of what was changed or moved; None if nothing was
    moved : files that were moved there
    cut : logs that were cut, each with the byte at which; their whole copies lie there too
    """

    zxid: int
    removed_to: Path | None
    moved: tuple[Path, ...]
    cut: tuple[tuple[Path, int], ...]


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
    raise NotImplementedError
