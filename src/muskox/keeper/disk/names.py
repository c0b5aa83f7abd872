"""Where the files lie and what they are called: ``version-2/log.<zxid>`` and ``version-2/snapshot.<zxid>``, in hexadecimal."""

import re
from pathlib import Path
from typing import NamedTuple

VERSION_FOLDER = "version-2"
LOG = "log"
SNAPSHOT = "snapshot"
GZIP, SNAPPY = ".gz", ".snappy"  # what Apache appends to a snapshot that it compresses
ZXID_NAME = re.compile(r"log\.([0-9a-f]+)|snapshot\.([0-9a-f]+)(?:\.gz|\.snappy)?")


class DatedFile(NamedTuple):
    """A log with its first zxid, or a snapshot with its last."""

    zxid: int
    path: Path


def folder_of(data_dir: Path) -> Path:
    return data_dir / VERSION_FOLDER


def log_path(folder: Path, zxid: int) -> Path:
    return folder / f"{LOG}.{zxid:x}"


def snapshot_path(folder: Path, zxid: int) -> Path:
    return folder / f"{SNAPSHOT}.{zxid:x}"


def list_files(folder: Path, prefix: str) -> list[DatedFile]:
    """Return the logs or snapshots in `folder`, oldest first."""
    found = (find_dated(path) for path in folder.iterdir() if path.name.startswith(prefix))
    return sorted(file for file in found if file is not None)


def find_dated(path: Path) -> DatedFile | None:
    """Return the file with the zxid that its name tells, None if its name is not one of ours."""
    match = ZXID_NAME.fullmatch(path.name)
    return None if match is None else DatedFile(int(match[1] or match[2], 16), path)
