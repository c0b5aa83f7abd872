"""What a node counts, as Prometheus' own parser reads it."""

from prometheus_client.parser import text_string_to_metric_families

from muskox.runtime.figures import COUNTERS, GAUGES, PHASES, Figures


def read(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples
    }


def test_rounds_are_counted_with_the_time_of_each_phase() -> None:
    figures = Figures()
    figures.round_told({"compute": 0.02, "round": 0.05, "rows_per_s": 9.0}, rows=1000)
    figures.round_told({"compute": 200.0}, rows=1000)
    found = read(figures.text({}))
    assert (found["muskox_rounds_total", ()], found["muskox_rows_total", ()]) == (2, 2000)
    compute = ("phase", "compute")
    assert found["muskox_round_seconds_count", (compute,)] == 2
    assert found["muskox_round_seconds_sum", (compute,)] == 200.02
    buckets = [found["muskox_round_seconds_bucket", (("le", bound), compute)] for bound in ("0.01", "0.03", "100", "+Inf")]
    assert buckets == [0, 1, 1, 2]
    assert found["muskox_round_seconds_count", (("phase", "wait"),)] == 0


def test_every_counter_phase_and_gauge_is_told_from_the_start() -> None:
    found = {name for name, _ in read(Figures().text(dict.fromkeys(GAUGES, 0.0)))}
    assert found >= {f"muskox_{name}_total" for name in COUNTERS} | {f"muskox_{name}" for name in GAUGES}
    assert "muskox_checkpoint_seconds_count" in found and PHASES


def test_a_gauge_that_is_not_known_is_left_out() -> None:
    found = {name for name, _ in read(Figures().text({"cores": 4}))}
    assert "muskox_cores" in found and "muskox_blob_bytes" not in found


def test_checkpoints_count_their_bytes_and_seconds() -> None:
    figures = Figures()
    figures.checkpoint_kept(0.25, 4096)
    figures.count("checkpoints_skipped")
    found = read(figures.text({}))
    assert (found["muskox_checkpoints_total", ()], found["muskox_checkpoint_bytes_total", ()]) == (1, 4096)
    assert found["muskox_checkpoint_seconds_sum", ()] == 0.25
    assert found["muskox_checkpoints_skipped_total", ()] == 1
