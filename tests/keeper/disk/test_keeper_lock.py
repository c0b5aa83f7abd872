"""One keeper a folder."""

import os
from pathlib import Path

import pytest

from muskox.errors import Unavailable
from muskox.keeper.disk.lock import find_holder, lock_folder


def test_a_folder_has_one_holder_and_says_which(tmp_path: Path) -> None:
    assert find_holder(tmp_path) is None
    handle = lock_folder(tmp_path / "new")
    assert find_holder(tmp_path / "new") == str(os.getpid())
    with pytest.raises(Unavailable, match=f"in use by the keeper with pid {os.getpid()}"):
        lock_folder(tmp_path / "new")
    os.close(handle)
    assert find_holder(tmp_path / "new") is None
    os.close(lock_folder(tmp_path / "new"))
