"""The system's disk, by its own few calls."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from muskox.keeper.disk.files import SystemDisk


@pytest.mark.parametrize("dsync", [True, False])
def test_all_is_written_even_if_the_system_takes_it_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsync: bool
) -> None:
    real = os.pwritev

    def sparing(file: int, parts: list[Any], at: int, flags: int = 0) -> int:
        return real(file, [memoryview(parts[0])[:3]], at, flags)

    monkeypatch.setattr(os, "pwritev", sparing)
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: sparing(file, [data], at))
    disk = SystemDisk()
    disk.dsync = disk.dsync if dsync else 0
    file = disk.create(tmp_path / "a")
    disk.allocate(file, 0, 100)
    disk.write(file, b"0123456789", 5)
    disk.write_synced(file, b"abcdefghij", 20)
    disk.truncate(file, 30)
    disk.close(file)
    assert (tmp_path / "a").read_bytes() == bytes(5) + b"0123456789" + bytes(5) + b"abcdefghij"


def test_a_file_system_that_knows_no_synced_write_is_synced_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []

    def refuse(*_: Any) -> int:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "pwritev", refuse)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    disk = SystemDisk()
    disk.dsync = 2
    file = disk.create(tmp_path / "a")
    disk.write_synced(file, b"abc", 0)
    disk.write_synced(file, b"def", 3)
    assert (tmp_path / "a").read_bytes() == b"abcdef"
    assert synced == [file, file]
    disk.close(file)
