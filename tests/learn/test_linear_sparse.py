"""Sparse rows: text in svmlight's form, hashed words, SciPy's matrices; one digest in process and as a dataset."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix, random_array
from sklearn.base import is_regressor
from sklearn.linear_model import LogisticRegression as LogisticPeer
from sklearn.linear_model import Ridge as RidgePeer

from muskox import coefficients
from muskox.errors import CallerError
from muskox.learn import LinearRegression, LinearSVC, LinearSVR, LogisticRegression, Ridge, load_model
from muskox.learn.linear.sparse import MATRIX, from_matrix, hashed, parse, read
from muskox.program import ArrayPartition, in_process
from muskox.records import pack, unpack

RNG = np.random.default_rng(8)
X = csr_matrix(random_array((400, 30), density=0.2, random_state=3))
W = RNG.normal(size=30) * 3.0
Y = (X @ W + 0.3 * RNG.normal(size=400)) > 0.1
NUMBER = X @ W + 0.3 * RNG.normal(size=400)


def test_text_is_read_as_it_says_and_written_as_it_reads() -> None:
    rows = parse(pa.array(["3:1.5 17:-2e-3", None, "", "  0:1 \t 0:2 ", "5:0.1"]))
    assert rows is not None
    assert rows.starts.tolist() == [0, 2, 2, 2, 4, 5]
    assert rows.indexes.tolist() == [3, 17, 0, 0, 5]
    assert rows.values.tolist() == [1.5, -2e-3, 1.0, 2.0, 0.1]
    again = parse(from_matrix(X).column(MATRIX).combine_chunks())
    assert again is not None
    assert again.values.tobytes() == X.data.tobytes()
    assert again.indexes.tolist() == X.indices.tolist() and again.starts.tolist() == X.indptr.tolist()


@pytest.mark.parametrize("text", ["3", "3:a", "-1:2", "1.5:2", "3:nan", "3:inf", "3:1:2", "999999999999:1"])
def test_what_is_not_of_the_form_is_refused_with_its_shard(text: str) -> None:
    assert parse(pa.array(["1:1", text])) is None
    table = pa.table({"s": ["1:1", "2:1", text, "1:2"], "y": [0, 1, 0, 1]})
    with pytest.raises(CallerError, match=r"column 's' is not of the form '3:1.5 17:2' .* in shard 1"):
        LogisticRegression(sparse=["s"]).fit(table, target="y", shards=2)


def test_words_are_hashed_alike_whatever_stands_between_them_and_in_any_case() -> None:
    texts = pa.array(["Good morning, Žilina!", "good MORNING žilina", None, "", "good"])
    rows = hashed(texts, 1 << 18)
    assert rows.starts.tolist() == [0, 3, 6, 6, 6, 7]
    assert rows.indexes[:3].tolist() == rows.indexes[3:6].tolist()
    assert rows.values[:3].tolist() == rows.values[3:6].tolist()
    assert rows.indexes[6] == rows.indexes[0]
    assert hashed(texts.slice(4), 1 << 18).indexes.tolist() == rows.indexes[6:].tolist()
    assert (rows.indexes[0], rows.values[0]) == by_hand(b"good", 1 << 18)
    assert (rows.indexes[2], rows.values[2]) == by_hand("žilina".encode(), 1 << 18)


def by_hand(word: bytes, features: int) -> tuple[int, float]:
    """Return index and sign of a word, by Python's own integers."""
    found = 0xCBF29CE484222325
    for byte in word:
        found = (found ^ byte) * 0x100000001B3 % 2**64
    found = (found ^ found >> 33) * 0xFF51AFD7ED558CCD % 2**64
    found ^= found >> 33
    return (found >> 1) % features, 1.0 if found & 1 else -1.0


def test_words_spread_over_the_indexes_with_either_sign() -> None:
    rows = hashed(pa.array([f"word{i}" for i in range(4000)]), 64)
    counts = np.bincount(rows.indexes, minlength=64)
    assert counts.min() > 30 and counts.max() < 100
    assert abs(rows.values.sum()) < 250


def test_columns_lie_beside_each_other_and_unknown_indexes_count_nothing() -> None:
    batch = pa.RecordBatch.from_pydict({"a": ["0:1 9:5", "1:2"], "b": ["2:3", "0:4"]})
    rows = read({"names": ["a", "b"], "kinds": ["svmlight", "svmlight"], "widths": [2, 3]}, batch)
    dense = csr_matrix((rows.values, rows.indexes, rows.starts), shape=(2, 5)).toarray()
    assert dense.tolist() == [[1, 0, 0, 0, 3], [0, 2, 4, 0, 0]]


def test_a_matrix_has_scikit_learns_coefficients() -> None:
    ours, peer = (
        LogisticRegression(tol=1e-9, max_rounds=500).fit(X, Y, shards=3),
        LogisticPeer(tol=1e-9, max_iter=2000).fit(X, Y),
    )
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(ours.decision_function(X.toarray()), ours.decision_function(X))
    peer = RidgePeer(alpha=0.5, tol=1e-10).fit(X, NUMBER)
    for solver in ("exact", "lbfgs"):
        np.testing.assert_allclose(Ridge(alpha=0.5, solver=solver).fit(X, NUMBER).coef_, peer.coef_, atol=1e-5)


@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(penalty="l1", C=3.0), LinearSVC(), LinearSVC(loss="hinge"), LinearSVR(), Ridge(), LinearRegression()],
    ids=str,
)
def test_a_matrix_and_a_dataset_of_its_text_give_the_same_bits(estimator: Any) -> None:
    y = NUMBER if is_regressor(estimator) else Y
    of_matrix = estimator.fit(X, y, shards=4)
    record, answers = of_matrix.model_record_, of_matrix.predict(X)
    dataset = in_process(from_matrix(X).append_column("y", pa.array(y)), ArrayPartition(4))
    of_dataset = estimator.set_params(sparse=[MATRIX]).fit(dataset, target="y")
    assert pack({"coef": record["coef"]}) == pack({"coef": of_dataset.model_record_["coef"]})
    assert of_dataset.digest_ == of_matrix.digest_
    again = load_model(unpack(pack(record)))
    assert again.predict(X).tolist() == of_dataset.predict(from_matrix(X)).tolist() == answers.tolist()
    one = of_dataset.predict_batch(from_matrix(X[7:8]).combine_chunks().to_batches()[0])
    assert one["prediction"][0] == answers[7]


def test_sparse_hashed_and_dense_columns_go_together() -> None:
    words = np.array(["late again", "on time", "a delay of hours", "early"])
    text = words[RNG.integers(0, 4, 400)]
    y = np.char.find(text, "la") >= 0
    table = pa.table(
        {"n": RNG.normal(size=400), "c": RNG.choice(["u", "v"], 400), "t": text, "s": from_matrix(X).column(MATRIX), "y": y}
    )
    model = LogisticRegression(hashed=["t"], hash_features=512, sparse=["s"]).fit(table, target="y", shards=3)
    assert model.score(table) == 1.0
    assert model.coef_.shape == (1, 1 + 2 + 30 + 512)
    assert model.feature_names_in_.tolist() == ["n", "c", "s", "t"]
    names = model.model_.feature_names_out()
    assert [names[at] for at in (0, 1, 3, 32, 33, 544)] == ["n", "c=u", "s:0", "s:29", "t:0", "t:511"]
    assert coefficients(model).num_rows == len(names) + 1
    unseen = table.slice(0, 1).set_column(2, "t", pa.array(["words never seen"]))
    assert np.isfinite(model.predict_proba(unseen)).all()
    held = LogisticRegression(hashed=["t"], hash_features=512, validation_fraction=0.2, features=["t"]).fit(table, target="y")
    assert held.validation_loss_ < 0.1


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"sparse": ["n"]}, "column 'n' is float: a sparse or hashed column is text"),
        ({"sparse": ["q"]}, "no column 'q' to use as sparse column"),
        ({"sparse": ["t"], "hashed": ["t"]}, "column 't' is sparse or hashed, and something else at once"),
        ({"hashed": ["t"], "hash_features": 0}, "hash_features=0: it must be a whole number, 1 or above"),
        ({"hashed": "t"}, "hashed='t': it must be a list of column names"),
    ],
)
def test_a_wrong_column_is_refused_with_rule_and_value(parameters: dict[str, Any], says: str) -> None:
    table = pa.table({"n": [1.0, 2.0], "t": ["a", "b"], "y": [0, 1]})
    with pytest.raises(CallerError, match=says):
        LogisticRegression(**parameters).fit(table, target="y")


def test_a_matrix_that_cannot_be_is_refused() -> None:
    model = LinearSVC().fit(X, Y)
    with pytest.raises(CallerError, match="X has 29 features, but LinearSVC is expecting 30 features as input"):
        model.predict(X[:, :29])
    with pytest.raises(CallerError, match="a sparse X holds NaN or infinity"):
        LinearSVC().fit(csr_matrix([[np.nan, 1.0], [1.0, 0.0]]), [0, 1])
