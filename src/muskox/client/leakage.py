"""mx.check_leakage: whether what is tested on was trained on: keys, or whole rows, that lie in both datasets."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from muskox.client import suspicion
from muskox.client.suspicion import LeakageWarning, warn_of
from muskox.client.user_program import as_dataset
from muskox.errors import CallerError
from muskox.evaluate import OneColumnProgram, suspects
from muskox.program import Program, RunOptions, Runs, run_options
from muskox.records import Record
from muskox.store import KeysProgram
from muskox.together import Together

HASHES_MAX = 50_000_000  # of one dataset, 400 MB: of more rows a share of the hashes is compared, the same of both
REPEATED_MAX = 0.1  # of the rows of the training data: where more are there twice, equal rows tell nothing
ROWS_SHARE_MIN = 0.01  # of the test's distinct rows: fewer in both may be alike by chance


def check_leakage(  # keywords of the public door
    train: Any,
    test: Any,
    target: str | None = None,
    *,
    key: str | Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    options: RunOptions | None = None,
) -> dict[str, Any]:
    """Look for what makes a test deceive: rows or keys of `test` that lie in `train`, and columns that give the target away.

    Each dataset is looked through where it lies, in one job of one round; what is compared is sorted 64-bit hashes.

    Parameters
    ----------
    train, test : datasets of a cluster, or tables; they need not lie in the same place
    target : the column to predict: each other column of `train` is judged by how well it alone predicts it
    key : the column, or columns, that tell whom a row is about (a patient, a user): no such key should lie in both
    features : the columns that make a row, and that are judged; None means all that both datasets have, but for the target

    Returns
    -------
    "rows" and, where `key` is given, "keys": of each "columns", how many distinct ones lie in "train", in "test" and in "both";
    "share": of the hashes compared, 1 unless there are more than 50,000,000 rows (then the counts are of this share of them);
    "suspects": columns that give the target away, each with "name", "score" and "measure"; "warnings": sentences, of each of
    which there is a :class:`muskox.LeakageWarning`, too.

    Examples
    --------
    >>> import pyarrow as pa, warnings
    >>> train, test = pa.table({"user": [1, 2, 3], "x": [0.1, 0.2, 0.3]}), pa.table({"user": [3, 4], "x": [0.4, 0.5]})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     check_leakage(train, test, key="user")["keys"]
    {'columns': ['user'], 'train': 3, 'test': 2, 'both': 1}
    """
    of_train, of_test = as_dataset(train), as_dataset(test)
    keys = () if key is None else (key,) if isinstance(key, str) else tuple(key)
    columns = compared_columns(of_train, of_test, target, features)
    for data in (of_train, of_test):
        require(data, (*columns, *keys))
    share = min(1.0, HASHES_MAX / max(of_train.manifest.rows, of_test.manifest.rows, 1))
    programs: list[Program] = [KeysProgram(columns, share, needs_all=False)]
    programs += [KeysProgram(keys, share)] if keys else []
    judged = tuple(name for name in columns if name not in keys)
    looks = [OneColumnProgram(target, judged, None)] if target is not None and judged else []
    chosen = run_options(options)
    first = of_train.run(Together((*programs, *looks)), chosen).result
    second = of_test.run(Together(tuple(programs)), chosen).result
    rows = both(columns, first["0"], second["0"])
    sentences = about_rows(rows, first["0"]["keyed"] * share)
    found: dict[str, Any] = {"share": share, "rows": rows, "suspects": []}
    if keys:
        found["keys"] = both(keys, first["1"], second["1"])
        sentences += about_keys(found["keys"])
    if looks:
        result = first[str(len(programs))]
        found["suspects"] = [{"name": name, "score": score, "measure": result["measure"]} for name, score in suspects(result)]
        sentences += suspicion.about_columns(result, target)
    return {**found, "warnings": warn_of(sentences, LeakageWarning)}


def both(names: Sequence[str], train: Record, test: Record) -> dict[str, Any]:
    """Return how many distinct keys lie in each dataset and in both; these are what KeysProgram told of each."""
    common = np.intersect1d(train["hashes"], test["hashes"], assume_unique=True).size
    counts = {"train": int(train["hashes"].size), "test": int(test["hashes"].size), "both": int(common)}
    return {"columns": list(names), **counts}


def require(data: Runs, names: Sequence[str]) -> None:
    known = data.manifest.columns
    for name in names:
        if name not in known:
            raise CallerError(f"no column {name!r} to compare by: this dataset has {', '.join(known)}")


def compared_columns(train: Runs, test: Runs, target: str | None, features: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that make a row: those asked for, or all that both have but the target.

    Raises
    ------
    CallerError
        If there is none, or one asked for or the target is not there.
    """
    known, others = train.manifest.columns, test.manifest.columns
    if target is not None and target not in known:
        raise CallerError(f"no column {target!r} to predict: this dataset has {', '.join(known)}")
    chosen = tuple(name for name in known if name in others and name != target) if features is None else tuple(features)
    if not chosen:
        raise CallerError("the two datasets have no column in common, beside the target: there is nothing to compare by")
    return chosen


def about_rows(found: Record, rows: float) -> list[str]:
    """Return a sentence if rows of the test were trained on; where many of the `rows` of the training repeat, none is told."""
    repeated = 1.0 - found["train"] / max(rows, 1.0)
    if repeated > REPEATED_MAX or found["both"] < ROWS_SHARE_MIN * max(found["test"], 1) or not found["both"]:
        return []
    return [
        f"{found['both']} of {found['test']} distinct rows of the test lie in the training data, too: "
        f"what is tested on was trained on"
    ]


def about_keys(found: Record) -> list[str]:
    """Return a sentence if keys lie in both datasets."""
    if not found["both"]:
        return []
    name = " and ".join(map(repr, found["columns"]))
    return [
        f"{found['both']} of {found['test']} values of {name} in the test lie in the training data, too: "
        f"cut both by this key, or the test tells too much"
    ]
