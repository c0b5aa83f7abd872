"""Which files are meant, and what they are."""

import gzip
from pathlib import Path

import pytest

from muskox.errors import CallerError
from muskox.store.input.input_files import find_format, find_input_files

FORMATS = [
    ("x.csv", b"a\n1\n", "csv"),
    ("x", b"PAR1....", "parquet"),
    ("x.csv", b"ARROW1\0\0", "arrow"),
    ("x", b"\xff\xff\xff\xff", "arrow"),
    ("x.NDJSON", b"a", "jsonl"),
    ("x.jsonl.gz", gzip.compress(b"a", mtime=0), "jsonl"),
    ("x.txt", b"\xef\xbb\xbf \n{}", "jsonl"),
    ("x.gz", gzip.compress(b'{"a":1}', mtime=0), "jsonl"),
    ("x", b"", "csv"),
]


@pytest.mark.parametrize(("name", "data", "kind"), FORMATS)
def test_a_format_is_told_by_the_first_bytes_or_the_ending(tmp_path: Path, name: str, data: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(data)
    assert find_format(tmp_path / name) == kind


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"cannot read .*no: No such file"):
        find_format(tmp_path / "no")
    (tmp_path / "x.tar").write_bytes(b"a")
    with pytest.raises(CallerError, match=r"x\.tar: unpack it first"):
        find_format(tmp_path / "x.tar")


def test_partitions_have_types_over_all_folders_and_given_ones_are_taken_out(tmp_path: Path) -> None:
    for name in ("b=1/c=x", "b=0.5/c=2013-01-02"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("a\n1\n")
    found = find_input_files([tmp_path], {"a": "int", "c": "string"})
    assert found.partition_columns == {"b": "float", "c": "string"} and found.given == {"a": "int"}
    assert [file.partition for file in found.files] == [(0.5, "2013-01-02"), (1.0, "x")]
    assert found.bytes == 8
