"""Cross-validation as one job: five trainings, each data parallel, share every round.

Run it: ``python examples/cross_validation.py`` starts a local cluster for it.
"""

import numpy as np
import pyarrow as pa

import muskox as mx


def main() -> None:
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(2, 50_000))
    late = np.where(x - 0.5 * z + rng.normal(size=x.size) > 0, "yes", "no")
    with mx.local(nodes=2) as cluster:
        flights = cluster.put("flights", pa.table({"x": x, "z": z, "late": late}), shards=8, replicas=2)
        for C in (0.01, 1.0):
            folds = mx.cross_validate(mx.LogisticRegression(C=C), flights, target="late", folds=5)
            aucs = [fold["auc"] for fold in folds]
            print(f"C={C}: AUC {np.mean(aucs):.4f} over {len(folds)} folds, from {min(aucs):.4f} to {max(aucs):.4f}")
        one_at_a_time = mx.cross_validate(mx.LogisticRegression(C=1.0), flights, target="late", folds=5, at_once=1)
    assert [fold["auc"] for fold in one_at_a_time] == aucs  # to the last bit


if __name__ == "__main__":
    main()
