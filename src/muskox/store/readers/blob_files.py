"""The files of a dataset version as a file system of pyarrow: mapped where they lie on this machine, read by ranges elsewhere.

It owns how a range of a file comes from a node, and from the next should that one fail. Where a file lies is asked when it is
opened, so replicas may move between two queries. It must never know what is in a file.

A range cannot be compared with the digest of its file: the node that sends it has compared the whole file. A file of this
machine is compared before it is mapped.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import fs

from muskox.errors import CallerError

if TYPE_CHECKING:
    from muskox.store.dataset import Dataset

ENDING = ".arrow"
TAIL_BYTES = 16 << 10  # of a file, read at once: a reader of Arrow begins with the last bytes, two or three times


def file_name(shard: int, group: int) -> str:
    """Return what a part of a shard is called in the file system of its version."""
    return f"{shard}-{group}{ENDING}"


class VersionFiles(fs.FileSystemHandler):  # type: ignore[misc]
    """The handler of a pyarrow.fs.PyFileSystem: a flat folder of a version's files, only to be read."""

    def __init__(self, dataset: "Dataset") -> None:
        self._dataset = dataset

    def get_type_name(self) -> str:
        return "muskox"

    def normalize_path(self, path: str) -> str:
        return path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VersionFiles) and other._dataset.digest == self._dataset.digest

    __hash__ = None  # type: ignore[assignment]

    def open_input_file(self, path: str) -> Any:
        shard, group = self._find(path)
        local = self._dataset.local_path(shard, group)
        if local is not None:
            with contextlib.suppress(FileNotFoundError):  # it may be dropped at any time: another node has it by then
                return pa.memory_map(str(local))
        return pa.PythonFile(RemoteFile(self._dataset, shard, group), mode="r")

    open_input_stream = open_input_file

    def get_file_info(self, paths: list[str]) -> list[Any]:
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: Any) -> list[Any]:
        if selector.base_dir.strip("/"):
            raise FileNotFoundError(selector.base_dir)
        shards, groups = range(len(self._dataset.shards)), range(len(self._dataset.groups))
        return self.get_file_info([file_name(shard, group) for shard in shards for group in groups])

    def _info(self, path: str) -> Any:
        try:
            shard, group = self._find(path)
        except FileNotFoundError:
            return fs.FileInfo(path, fs.FileType.NotFound)
        return fs.FileInfo(path, fs.FileType.File, size=self._dataset.shards[shard].parts[group].bytes)

    def _find(self, path: str) -> tuple[int, int]:
        shard, _, group = path.removesuffix(ENDING).partition("-")
        if not (shard.isdigit() and group.isdigit() and path.endswith(ENDING)):
            raise FileNotFoundError(path)
        if int(shard) >= len(self._dataset.shards) or int(group) >= len(self._dataset.groups):
            raise FileNotFoundError(path)
        return int(shard), int(group)

    def _refuse(self, *_: Any) -> Any:
        raise CallerError(f"{self._dataset.reference} cannot be changed: put a new version")

    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse
    move = copy_file = open_output_stream = open_append_stream = _refuse


class RemoteFile:
    """A part of a shard on other machines, as a Python file: every read is a call, to the node that answered last if it can."""

    closed = False

    def __init__(self, dataset: "Dataset", shard: int, group: int) -> None:
        self._dataset = dataset
        self._place = shard, group
        part = dataset.shards[shard].parts[group]
        self._digest, self._bytes = part.file_digest, part.bytes
        self._at = 0
        self._tail = b""
        self._address = ""

    def read(self, count: int = -1) -> bytes:
        """Return the next `count` bytes, fewer at the end of the file.

        Raises
        ------
        Unavailable
            If no replica can be read.
        """
        left = self._bytes - self._at
        count = left if count < 0 else min(count, left)
        tail = max(0, self._bytes - TAIL_BYTES)
        if count <= 0:
            return b""
        if self._at >= tail:
            if not self._tail:
                self._tail = self._range(tail, self._bytes - tail)
            data = self._tail[self._at - tail : self._at - tail + count]
        else:
            data = self._range(self._at, count)
        self._at += count
        return data

    def _range(self, offset: int, count: int) -> bytes:
        return self._dataset.home.client.read_range(self._addresses(), self._digest, offset, count)

    def _addresses(self) -> Iterator[str]:
        first = self._address
        if first:
            yield first
        for address in self._dataset.addresses(*self._place):
            if address != first:
                self._address = address  # of all that are tried the last is the one that could
                yield address

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._bytes}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
