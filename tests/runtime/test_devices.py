"""What a machine offers: memory within its bounds, GPUs by name."""

import os
from pathlib import Path

import pytest

from muskox.errors import CallerError
from muskox.runtime import devices
from muskox.runtime.devices import find_gpus, find_memory_bytes, offered_gpus, resident_bytes


def test_memory_is_the_machines_or_what_the_control_group_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound, none = tmp_path / "memory.max", tmp_path / "none"
    monkeypatch.setattr(devices, "CGROUP_FILES", (str(bound), str(none)))
    bound.write_text("max\n")
    whole = find_memory_bytes()
    bound.write_text("1000000\n")
    assert find_memory_bytes() == 1_000_000 < whole


@pytest.mark.parametrize(("shown", "names"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-8932f937", ["GPU-8932f937"])])
def test_gpus_are_those_that_our_own_environment_shows(monkeypatch: pytest.MonkeyPatch, shown: str, names: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert find_gpus() == names


def test_else_gpus_are_what_the_driver_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "PROC_GPUS", tmp_path)
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    assert find_gpus() == offered_gpus(None) == ["0", "1"] and offered_gpus(1) == ["0"] and offered_gpus(0) == []
    with pytest.raises(CallerError, match="--gpus 3: this machine has 2"):
        offered_gpus(3)


def test_a_process_has_memory_and_one_that_is_gone_has_none() -> None:
    assert resident_bytes(os.getpid()) > 1_000_000
    assert resident_bytes(2**22 + 1) == 0
