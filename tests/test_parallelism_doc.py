"""What docs/parallelism.md shows runs, and its pictures are there."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa

import muskox as mx
from muskox.program import ArrayPartition, in_process

DOC = Path(__file__).resolve().parent.parent / "docs" / "parallelism.md"


def test_its_examples_run_on_a_dataset_of_twelve_shards() -> None:
    rng = np.random.default_rng(0)
    hour, distance = rng.integers(24, size=1200), rng.uniform(0.0, 2000.0, size=1200)
    table = pa.table({"hour": hour, "distance": distance, "late": hour + rng.normal(size=1200) * 8 > 12})
    names: dict[str, Any] = {"mx": mx, "np": np, "dataset": in_process(table, ArrayPartition(12))}
    for code in re.findall(r"^```python\n(.*?)^```", DOC.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        exec(code, names)  # the reader would
    assert len(names["found"]) == 24
    assert len(names["folds"]) == 5


def test_its_pictures_are_drawings() -> None:
    pictures = re.findall(r"!\[.+\]\((pictures/\w+\.svg)\)", DOC.read_text(encoding="utf-8"))
    assert len(pictures) == 3
    for picture in pictures:
        assert ElementTree.parse(DOC.parent / picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"
