"""k-means: scikit-learn's contract and its numbers, whatever the shards lie on; exact sums; bounds that change nothing."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from learning_data import mixed_table
from sklearn.cluster import KMeans as Peer
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_blobs
from sklearn.utils.estimator_checks import parametrize_with_checks

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import KMeans, KMeansProgram, load_model, load_predictor
from muskox.learn.clusters.grid import Grid, Limbs, Matrix, unit_of, variances
from muskox.learn.clusters.lloyd import Assignment
from muskox.learn.inputs import Inputs, Target, begin, look, prepare
from muskox.program import ArrayPartition, Done, RoundReport, in_process
from muskox.records import normal, pack, unpack


@pytest.mark.filterwarnings("default")  # the checks warn of their own
@parametrize_with_checks(
    [KMeans(n_clusters=3)],
    # scikit-learn's own KMeans is excused from it for the same reason: other draws fall on rows that are there several times
    expected_failed_checks=lambda _: {"check_sample_weight_equivalence_on_dense_data": "draws differ"},
)
def test_it_passes_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
@pytest.mark.parametrize("clusters", [3, 8])
def test_its_inertia_is_as_good_as_scikit_learns(load: Any, clusters: int) -> None:
    X, _ = load(return_X_y=True)
    ours = KMeans(clusters, n_init=3, tol=0.0).fit(X, shards=3)
    peer = Peer(clusters, n_init=3, tol=0.0, random_state=0).fit(X)
    assert ours.inertia_ <= 1.02 * peer.inertia_
    own = Peer(clusters, init=ours.cluster_centers_, n_init=1, max_iter=1, tol=0.0).fit(X)
    np.testing.assert_allclose(ours.inertia_, own.inertia_, rtol=1e-6)
    assert np.mean(ours.labels_ == own.labels_) > 0.995  # a row may lie as near to another centre, but for rounding
    np.testing.assert_allclose(ours.score(X), -ours.inertia_, rtol=1e-6)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_centres_are_the_exact_means_of_their_rows(is_weighted: bool) -> None:
    X, _ = make_blobs(3000, n_features=7, centers=5, random_state=0)
    X += 1e6  # far from 0, where float32 would see nothing
    weights = np.random.default_rng(0).random(3000) if is_weighted else np.ones(3000)
    model = KMeans(5, tol=0.0).fit(X, sample_weight=weights if is_weighted else None, shards=4)
    for cluster, centre in enumerate(model.cluster_centers_):
        mine = model.labels_ == cluster
        expected = np.average(X[mine], axis=0, weights=weights[mine])
        np.testing.assert_allclose(centre, expected, rtol=0, atol=1e-8)
        np.testing.assert_allclose(model.cluster_weights_[cluster], weights[mine].sum(), rtol=1e-12)


def test_a_row_of_weight_two_counts_as_two_rows_and_one_of_weight_zero_as_none() -> None:
    X, _ = make_blobs(300, n_features=3, centers=4, random_state=1)
    weights = np.random.default_rng(2).integers(0, 3, 300)
    weighted = KMeans(4, n_init=2).fit(X, sample_weight=weights)
    repeated = KMeans(4, n_init=2).fit(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(np.sort(weighted.cluster_weights_), np.sort(repeated.cluster_weights_))
    np.testing.assert_allclose(weighted.inertia_, repeated.inertia_, rtol=1e-6)


def test_lloyds_iterations_are_the_same_however_rows_are_cut() -> None:
    X, _ = make_blobs(2000, n_features=5, centers=30, cluster_std=3.0, random_state=3)
    centres = X[:12].copy()
    found = []
    for shards in (1, 2, 7):
        sums, _ = iterations(X, centres, shards)
        found.append(digest({"sums": sums}))
    assert len(set(found)) == 1, "sums are exact, so their order cannot matter"


def test_bounds_change_no_bit() -> None:
    X, _ = make_blobs(4000, n_features=9, centers=12, cluster_std=2.0, random_state=4)
    prepared, grid, matrix = on_grid(X)
    limbs = Limbs.of(prepared["weight_sum"], prepared["rows"])
    kept = Assignment.of(matrix, 20)
    centres = placed(grid, X[:20])
    for _ in range(40):
        sums = kept.after(matrix, centres, limbs)
        anew = Assignment.of(matrix, 20)
        np.testing.assert_array_equal(anew.after(matrix, centres, limbs), sums)
        np.testing.assert_array_equal(anew.labels, kept.labels)
        total = limbs.total(sums)
        centres = total[:, :-1] / np.maximum(total[:, -1:], 1.0)


def test_bounds_hold_when_centres_jump_and_rows_coincide() -> None:
    rng = np.random.default_rng(5)
    X = np.repeat(rng.integers(-3, 4, (150, 2)).astype(float), 4, axis=0)  # many ties
    prepared, grid, matrix = on_grid(X)
    limbs = Limbs.of(prepared["weight_sum"], prepared["rows"])
    kept = Assignment.of(matrix, 6)
    for _ in range(60):
        centres = placed(grid, rng.integers(-3, 4, (6, 2)) * rng.choice([1e-3, 0.5, 1.0, 100.0]))
        anew = Assignment.of(matrix, 6)
        np.testing.assert_array_equal(anew.after(matrix, centres, limbs), kept.after(matrix, centres, limbs))
        np.testing.assert_array_equal(anew.labels, kept.labels)


def test_an_interrupted_assignment_is_not_gone_on_with() -> None:
    X, _ = make_blobs(500, n_features=3, centers=4, random_state=1)
    prepared, grid, matrix = on_grid(X)
    limbs = Limbs.of(prepared["weight_sum"], prepared["rows"])
    torn = Assignment.of(matrix, 4)
    torn.is_busy, torn.sums = True, torn.sums + 1.0
    np.testing.assert_array_equal(
        torn.after(matrix, placed(grid, X[:4]), limbs), Assignment.of(matrix, 4).after(matrix, placed(grid, X[:4]), limbs)
    )


def test_a_program_goes_on_from_the_seed_that_it_began_with_after_a_journey() -> None:
    program = KMeans(4, seed=3).program()
    again = KMeansProgram.from_parameters(unpack(pack(program.parameters())))
    assert again == program and again.inputs.seed == 3 and program.parameters()["seed"] == 3
    with pytest.raises(TypeError, match="seed"):
        KMeansProgram(inputs=Inputs(seed=1), n_clusters=4, seed=2)  # type: ignore[call-arg]  # of which one would be lost


def test_every_digest_comes_out_again_and_a_seed_changes_it() -> None:
    X, _ = load_wine(return_X_y=True)
    assert KMeans(4).fit(X, shards=3).digest_ == KMeans(4).fit(X, shards=3).digest_
    assert KMeans(4).fit(X, shards=3).digest_ != KMeans(4, seed=1).fit(X, shards=3).digest_


def test_the_best_of_several_starts_is_kept() -> None:
    X, _ = load_digits(return_X_y=True)
    one = KMeans(10).fit(X)
    several = KMeans(10, n_init=4).fit(X)
    assert several.inertia_ <= one.inertia_
    assert several.n_rounds_ > one.n_rounds_


def test_tables_of_text_numbers_and_missing_values_have_clusters() -> None:
    table = mixed_table(600).drop_columns(["late"])
    model = KMeans(5, standardise=True).fit(table, shards=2)
    assert model.cluster_centers_.shape == (5, model.encoder_.width)
    encoded = model.encoder_.transform(table)
    numeric = len(model.encoder_.numeric)
    away = (model.cluster_centers_[:, :numeric] - model.encoder_.mean) / model.encoder_.scale
    standard = np.concatenate([away, model.cluster_centers_[:, numeric:]], axis=1)
    distances = np.sqrt(((encoded[:, None, :] - standard[None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(model.transform(table), distances, atol=1e-9)
    np.testing.assert_array_equal(model.predict(table), np.argmin(distances, axis=1))


def test_one_row_is_predicted_as_in_a_batch() -> None:
    X, _ = load_breast_cancer(return_X_y=True)
    model = KMeans(6).fit(X)
    batch = pa.table({name: X[:, i] for i, name in enumerate(model.feature_names_in_)}).combine_chunks().to_batches()[0]
    whole = model.predict_batch(batch)
    for row in range(0, 60, 7):
        alone = model.predict_batch(batch.slice(row, 1))
        assert alone["cluster"][0] == whole["cluster"][row]
        assert alone["distance"][0] == whole["distance"][row]


def test_labels_are_what_predict_tells_however_rows_are_cut() -> None:
    X, _ = load_wine(return_X_y=True)
    for cut in ({}, {"shards": 4}, {"shards": 4, "by": "hash:x0"}, {"sample_weight": np.arange(len(X)) % 3}):
        model = KMeans(3).fit(X, **cut)
        np.testing.assert_array_equal(model.labels_, model.predict(X))


def test_its_record_makes_the_same_model() -> None:
    X, _ = load_iris(return_X_y=True)
    model = KMeans(3).fit(X)
    again = load_model(unpack(pack(model.model_record_)))
    assert again.digest_ == model.digest_
    assert again.get_params() == {**model.get_params(), "categorical": []}
    np.testing.assert_array_equal(again.predict(X), model.labels_)
    assert load_predictor(model.model_record_).outputs.keys() == {"cluster", "distance"}


def test_a_state_goes_on_after_a_journey() -> None:
    X, _ = load_iris(return_X_y=True)
    dataset: Any = in_process(pa.table({f"x{i}": X[:, i] for i in range(4)}), ArrayPartition(3))
    program = KMeansProgram(inputs=Inputs(standardise=False), n_clusters=3, n_init=2)
    results = []
    for travels in (False, True):
        dataset = in_process(dataset.table, ArrayPartition(3))
        state = normal(program.initial(dataset.manifest))
        while True:
            if travels:
                state = unpack(pack(state))
                dataset = in_process(dataset.table, ArrayPartition(3))  # nothing of what shards kept
            total = None
            for shard in dataset.shards:
                part = normal(program.partial(state, shard, shard.blocks))
                total = part if total is None else normal(program.merge(total, part))
            after = program.update(state, total)
            if isinstance(after, Done):
                results.append(digest(after.result))
                break
            state = normal(after)
    assert results[0] == results[1]


def test_clusters_without_rows_are_given_those_farthest_away() -> None:
    X = np.concatenate([np.zeros((50, 1)), np.full((50, 1), 1.0), [[100.0]], [[200.0]], [[201.0]]])
    _prepared, grid, _ = on_grid(X)
    state = {"step": "relocate", "centres": placed(grid, np.array([[0.0], [1.0], [500.0], [501.0]])), "empty": [2, 3]}
    farthest = {"points": placed(grid, np.array([[201.0], [200.0]]))}
    from muskox.learn.clusters.program import relocated

    after = relocated(state, farthest)
    np.testing.assert_allclose(grid.raw(after["centres"])[:, 0], [0.0, 1.0, 201.0, 200.0])
    assert after["step"] == "assign" and not after["is_sparse"]


def test_fewer_distinct_rows_than_clusters_still_end() -> None:
    X = np.repeat([[0.0, 1.0], [2.0, 3.0]], 20, axis=0)
    model = KMeans(4).fit(X)
    assert model.inertia_ == 0.0
    assert len(set(model.labels_)) == 2


def test_many_copies_of_a_few_rows_have_their_own_clusters() -> None:
    X = np.repeat(np.arange(12.0)[:, None], 200, axis=0)
    assert KMeans(12).fit(X, shards=2).inertia_ == 0.0


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e150])
def test_numbers_of_any_size_have_clusters(scale: float) -> None:
    X, _ = make_blobs(200, n_features=2, centers=[[0, 0], [10, 10], [-10, 10]], random_state=0)
    usual = KMeans(3).fit(X)
    model = KMeans(3).fit(X * scale)
    np.testing.assert_array_equal(np.sort(model.cluster_weights_), np.sort(usual.cluster_weights_))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"n_clusters": 0}, "n_clusters"),
        ({"n_clusters": 151}, "n_samples=150"),
        ({"n_init": 0}, "n_init"),
        ({"tol": -1.0}, "tol"),
        ({"oversampling": 0.0}, "oversampling"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_is_refused_with_the_rule(parameters: dict[str, Any], words: str) -> None:
    X, _ = load_iris(return_X_y=True)
    with pytest.raises(CallerError, match=words):
        KMeans(**parameters).fit(X)


def test_a_watcher_hears_how_far_the_centres_move() -> None:
    X, _ = load_iris(return_X_y=True)
    heard: list[RoundReport] = []
    KMeans(3).fit(X, on_round=heard.append)
    assert heard[-1].metrics["moved"] <= 1e-4 * X.var(axis=0).mean()
    assert heard[-1].metrics["iterations"] >= 1


def iterations(X: Any, centres: Any, shards: int) -> tuple[Any, Any]:
    """Return the sums of all rows after a few iterations of Lloyd's."""
    prepared, grid, _ = on_grid(X)
    limbs = Limbs.of(prepared["weight_sum"], prepared["rows"])
    matrices = [on_grid(part, prepared)[2] for part in np.array_split(X, shards)]
    kept = [Assignment.of(matrix, len(centres)) for matrix in matrices]
    place = placed(grid, centres)
    for _ in range(6):
        sums = sum(one.after(matrix, place, limbs) for one, matrix in zip(kept, matrices, strict=True))
        total = limbs.total(sums)
        place = total[:, :-1] / np.maximum(total[:, -1:], 1.0)
    return sums, place


def on_grid(X: Any, prepared: Any = None) -> tuple[Any, Grid, Matrix]:
    """Return what round 1 tells of `X` (or of other rows, `prepared`), the grid, and X on it."""
    from muskox.learn.encoder import Encoder

    dataset: Any = in_process(pa.table({f"x{i}": X[:, i] for i in range(X.shape[1])}), ArrayPartition(1))
    shard = dataset.shards[0]
    if prepared is None:
        inputs = Inputs(standardise=False)
        begun = begin(dataset.manifest, inputs, Target.NONE)
        prepared = prepare(begun, look(begun, shard, shard.blocks), inputs)
    unit = unit_of(prepared)
    assert np.all(variances(prepared, unit) <= 1.0)
    grid = Grid(Encoder(prepared["encoder"]), unit)
    return prepared, grid, grid.shard(prepared, shard, shard.blocks)


def placed(grid: Grid, raw: Any) -> Any:
    """Return where points of numeric columns lie on a grid that does not standardise: the inverse of :meth:`Grid.raw`."""
    return (raw - grid.encoder.mean) * grid.unit
