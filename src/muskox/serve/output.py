"""An output folder of Parquet files: parts that appear whole, and the manifest that says which of them count.

It owns names on a disk and their durability; it never knows what the rows mean.
"""

import errno
import hashlib
import json
import os
import secrets
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from muskox.errors import CallerError, Corrupt, MuskoxError, Unavailable
from muskox.records import Record

MANIFEST = "manifest.json"
CHUNK_BYTES = 4 << 20
RANDOM_BYTES = 4  # of a draft's name
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_part(path: Path, schema: Any, tables: Iterable[Any]) -> tuple[str, int]:
    """Write `tables` of `schema` as one Parquet file that appears whole; return its SHA-256 and its rows.

    Raises
    ------
    CallerError
        If the folder cannot be written to.
    Unavailable
        If the disk is full.
    """
    draft = path.with_name(f".{path.name}.draft")
    rows = 0
    try:
        with _writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(draft, schema) as writer:
                for table in tables:
                    writer.write_table(table)
                    rows += table.num_rows
            sha256 = _synced_digest(draft)
            draft.replace(path)
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink()
    return sha256, rows


def write_manifest(folder: Path, manifest: Record) -> None:
    """Replace the folder's manifest in one step; raises as :func:`write_part` does.

    Two may do so at once, of one run even: each has a draft of its own.
    """
    draft = folder / f".{MANIFEST}.{secrets.token_hex(RANDOM_BYTES)}.draft"
    try:
        with _writing(folder), draft.open("w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
            draft.replace(folder / MANIFEST)
            _sync_folder(folder)
    finally:
        with suppress(OSError):
            draft.unlink()


def find_manifest(folder: Path) -> Record | None:
    """Return the folder's manifest, or None if it has none.

    Raises
    ------
    Corrupt
        If it is not one that :func:`write_manifest` wrote.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = [str(entry["file"]) for entry in manifest["files"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{folder / MANIFEST} is not the manifest of a prediction: {error}; choose another folder") from error
    if any(Path(name).name != name for name in files):
        raise Corrupt(f"{folder / MANIFEST} names files outside its folder; choose another folder")
    return dict(manifest)


def count_parts(folder: Path, run: str) -> int:
    return sum(1 for _ in folder.glob(f"part-*-{run}-*.parquet"))


def remove_parts(folder: Path, run: str, replaced: Iterable[str], keep: Collection[str]) -> None:
    """Remove the files of `run` and those of a manifest that was `replaced`, but for `keep`."""
    names = {path.name for path in folder.glob(f"part-*-{run}-*.parquet")} | set(replaced)
    for name in sorted(names - set(keep)):
        (folder / name).unlink(missing_ok=True)


def read_output(folder: Path) -> Any:
    """Return all rows that the folder's manifest names, in the order of the shards, as a pyarrow.Table.

    Raises
    ------
    CallerError
        If there is no manifest.
    """
    import pyarrow as pa

    manifest = find_manifest(folder)
    if manifest is None:
        raise CallerError(f"{folder} has no {MANIFEST}: no prediction was finished there")
    return pa.concat_tables([pq.read_table(folder / entry["file"]) for entry in manifest["files"]])


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except MuskoxError:
        raise
    except OSError as error:
        if error.errno in FULL:
            raise Unavailable(f"the disk of {folder} is full: free some space, or write somewhere else") from error
        raise CallerError(f"cannot write to the output folder {folder}: {error.strerror or error}") from error


def _synced_digest(path: Path) -> str:
    """Bring the file's bytes to the disk and return their SHA-256."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while chunk := file.read(CHUNK_BYTES):
            sha.update(chunk)
    return sha.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
