"""muskox: distributed machine learning that nothing can stop.

Kill any process at any moment and the job still finishes with the same model, to the bit. Names are imported when they are
first used, so that ``import muskox`` and ``muskox --help`` stay fast.
"""

from typing import TYPE_CHECKING

from muskox.program import set_in_process

if TYPE_CHECKING:
    import pyarrow as pa

    from muskox.program import ArrayPartition, Runs


def _in_process(table: "pa.Table", partition: "ArrayPartition") -> "Runs":
    from muskox.engines import in_process_dataset

    return in_process_dataset(table, partition)


set_in_process(_in_process)
