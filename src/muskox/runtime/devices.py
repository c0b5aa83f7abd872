"""What a machine has beside cores: memory and GPUs; and what its system tells of a process.

Found where the system tells: memory as far as the control group of the process bounds it, GPUs as NVIDIA's driver lists them.
"""

import os
import re
import subprocess
from pathlib import Path

from muskox.errors import CallerError

PROC_GPUS = Path("/proc/driver/nvidia/gpus")
VISIBLE = "CUDA_VISIBLE_DEVICES"
SMI_S_MAX = 10.0  # for nvidia-smi to answer; it loads the driver where that is not loaded
CGROUP_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of version 2 and 1


def find_memory_bytes() -> int:
    """Return the machine's memory, or less if the control group allows less."""
    bounds = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for name in CGROUP_FILES:
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():  # "max" where there is none
            bounds.append(int(text))
    return min(bounds)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_gpus() -> list[str]:
    """Return the names by which CUDA knows this machine's GPUs: those that our own environment shows us, else all."""
    shown = os.environ.get(VISIBLE)
    if shown is not None:
        return [name.strip() for name in shown.split(",") if name.strip() and name.strip() != "-1"]
    try:
        return [str(index) for index, _ in enumerate(sorted(PROC_GPUS.iterdir()))]
    except OSError:
        return [str(index) for index in range(_count_by_smi())]


def _count_by_smi() -> int:
    try:
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=SMI_S_MAX, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return len(re.findall(r"^GPU \d+:", told, re.MULTILINE))


def offered_gpus(count: int | None) -> list[str]:
    """Return the first `count` GPUs; None: all there are.

    Raises
    ------
    CallerError
        If there are fewer.
    """
    found = find_gpus()
    if count is not None and count > len(found):
        raise CallerError(f"--gpus {count}: this machine has {len(found)}")
    return found if count is None else found[:count]


def resident_bytes(pid: int) -> int:
    """Return the memory that a process has for itself, not counting files that it maps; 0 if it is gone.

    What it shares with those forked from the same process is counted in parts, where the system tells.
    """
    for file, pattern in (("smaps_rollup", r"^Pss_Anon:\s+(\d+) kB"), ("status", r"^RssAnon:\s+(\d+) kB")):
        try:
            found = re.search(pattern, Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1]) * 1024
    return 0


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped, as SIGSTOP does it: not one that a debugger holds; False if nothing tells."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "T"
