"""Sources in bounded memory: an input several times the bound is read within it, measured in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

BOUNDS_MB = {"csv": 60, "jsonl": 30, "parquet": 30, "iterator": 30}  # beyond what a small input of the same kind takes
CHILD = """
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from muskox.store import open_source
from muskox.store.input.reading import Reading

kind, folder, megabytes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
pa.set_memory_pool(pa.system_memory_pool())


def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) >> 10


def parts():
    for part in range(megabytes):
        yield pa.RecordBatch.from_pydict({"a": pa.array(range(part, part + 65536)), "b": pa.array([part + 0.5] * 65536)})


data = parts() if kind == "iterator" else folder / f"rows.{kind}"
with open_source(data, None, Reading(folder=folder)) as source:
    rows = sum(batch.num_rows for batch in source.batches())
    assert rows == source.rows
print(peak())
"""


def write(path: Path, megabytes: int) -> None:
    """Write rows that do not compress to nothing, of so many megabytes of text, or of values in one row group or batch."""
    match path.suffix:
        case ".csv":
            block = "".join(f"{i * 7919},name-{i},{i}.25\n" for i in range(1 << 15))
        case ".jsonl":
            block = "".join(f'{{"a":{i * 7919},"b":"name-{i}","c":{i}.25}}\n' for i in range(1 << 15))
        case _:
            write_parquet(path, megabytes)
            return
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("a,b,c\n")
        for _ in range(max(1, (megabytes << 20) // len(block))):
            file.write(block)


def write_parquet(path: Path, megabytes: int) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = np.random.default_rng(0).integers(0, 1 << 62, megabytes << 16)
    pq.write_table(pa.table({"a": values, "b": values[::-1]}), path, row_group_size=1 << 30, use_dictionary=False)


def peak_megabytes(kind: str, folder: Path, megabytes: int) -> int:
    if kind != "iterator":
        write(folder / f"rows.{kind}", megabytes)
    command = [sys.executable, "-c", CHILD, kind, str(folder), str(megabytes)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


@pytest.mark.parametrize(("kind", "bound"), BOUNDS_MB.items())
def test_an_input_four_times_the_bound_is_read_within_it(tmp_path: Path, kind: str, bound: int) -> None:
    small = peak_megabytes(kind, tmp_path, bound // 3)
    large = peak_megabytes(kind, tmp_path, 4 * bound)
    print(f"{kind}: {small} MB for {bound // 3} MB of input, {large} MB for {4 * bound} MB")
    assert large - small <= bound
