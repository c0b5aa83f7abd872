"""A model goes on from where it stands, on a dataset to which rows were appended: one digest, and verified."""

from whole_path_data import FEATURES, TARGET

import muskox as mx


def test_a_partial_fit_on_appended_rows_can_be_verified(cluster: mx.Cluster, flights) -> None:
    first, later = flights.slice(0, 4000), flights.slice(4000, 3000)
    names = [*FEATURES, TARGET]
    before = cluster.put("going-on", first.select(names), shards=3, by="random:1")
    model = mx.SGDClassifier(loss="log_loss", momentum=0.5, average=True, seed=1)
    model.partial_fit(before, target=TARGET, name="going-on")
    begun = model.digest_
    after = cluster.put("going-on", later.select(names), append=True)
    assert after.rows == 7000
    model.partial_fit(after, target=TARGET, name="gone-on", workers=2)
    assert model.n_iter_ == 2
    assert model.model_record_["parameters"]["begin_with"] == {"digest": begun}
    one = mx.SGDClassifier(loss="log_loss", momentum=0.5, average=True, seed=1)
    one.partial_fit(before, target=TARGET, workers=1).partial_fit(after, target=TARGET, workers=1)
    assert one.digest_ == model.digest_
    assert cluster.model_info("gone-on")["lineage"]["parameters"]["begin_with"] == {"digest": begun}
    verified = cluster.verify_model("gone-on")
    assert (verified.verdict, verified.found) == ("same", model.digest_)
