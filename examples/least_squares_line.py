"""An algorithm of your own on muskox: the least-squares line through points, by four pure functions.

Each worker sums over its shards; the sums are added in one fixed tree; whoever dies, the line has the same bits.
Run it: ``python examples/least_squares_line.py`` starts a local cluster for it.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

import muskox as mx


def initial(manifest: mx.Manifest) -> dict:
    return {"rows": manifest.rows}


def partial(state: dict, shard: mx.Shard, blocks: Iterator[mx.Block]) -> dict:  # noqa: ARG001  # the contract's arguments
    sums = np.zeros(4)
    for block in blocks:
        x, y = block["x"], block["y"]
        sums += [x.sum(), y.sum(), (x * x).sum(), (x * y).sum()]
    return {"sums": sums}


def merge(left: dict, right: dict) -> dict:
    return {"sums": left["sums"] + right["sums"]}


def update(state: dict, total: dict) -> dict | mx.Done:
    n, (x, y, xx, xy) = state["rows"], total["sums"]
    slope = (n * xy - x * y) / (n * xx - x * x)
    return mx.Done({"slope": float(slope), "intercept": float((y - slope * x) / n)})


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.0, 10.0, 100_000)
    points = pa.table({"x": x, "y": 2.0 * x + 1.0 + rng.normal(0.0, 0.5, x.size)})
    program = {"initial": initial, "partial": partial, "merge": merge, "update": update}
    with mx.local(nodes=2) as cluster:
        line = mx.rounds(cluster.put("points", points, shards=8), **program)
        fewer = mx.rounds(cluster.dataset("points"), workers=1, **program)
    print(f"y = {line['slope']:.4f} x + {line['intercept']:.4f}")
    assert line == fewer  # to the last bit
    assert np.allclose([line["slope"], line["intercept"]], np.polyfit(x, points.column("y"), 1))


if __name__ == "__main__":
    main()
