"""Parquet datasets to register: in a folder, in a bucket of the S3 server, and in fsspec's memory."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from object_server import ObjectServer

from muskox.store.objects.filesystems import open_place


@dataclass
class Field:
    """Where a dataset lies; files are written and removed there by their relative path."""

    url: str

    def write(self, files: Mapping[str, Any], row_group_size: int = 10) -> str:
        """Write tables (or bytes) as files and return the dataset's URL."""
        place = open_place(self.url)
        for path, content in files.items():
            if place.scheme != "s3":
                place.filesystem.create_dir(place.path(path).rpartition("/")[0], recursive=True)
            with place.filesystem.open_output_stream(place.path(path)) as stream:
                if isinstance(content, bytes):
                    stream.write(content)
                else:
                    pq.write_table(content, stream, row_group_size=row_group_size)
        return self.url

    def remove(self, path: str) -> None:
        place = open_place(self.url)
        place.filesystem.delete_file(place.path(path))


def make_field(kind: str, folder: Path, server: ObjectServer | None = None) -> Field:
    match kind:
        case "file":
            return Field(f"file://{folder}/data")
        case "memory":
            return Field(f"memory://{uuid.uuid4().hex}/data")
        case _:
            assert server is not None
            return Field(server.url(f"{server.make_bucket()}/data"))


def numbers(first: int, count: int, **more: Any) -> Any:
    """Return a table of `count` rows with the column n from `first` on, and the columns of `more`."""
    return pa.table({"n": pa.array(range(first, first + count), pa.int64()), **more})
