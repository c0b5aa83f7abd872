"""Batch prediction: every row once, in order, with the bits of the model; a manifest that commits; nothing left over."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from serving_data import mixed_rows

from muskox import tree
from muskox.digest import digest
from muskox.engines import in_process_dataset
from muskox.errors import CallerError, Corrupt
from muskox.learn import LogisticRegression
from muskox.program import ArrayPartition, Publishes, RunOptions, reference, resolve
from muskox.records import pack, unpack
from muskox.serve import PredictProgram, find_manifest, read_output
from muskox.serve.output import write_manifest


def run(program: PredictProgram, table: Any, shards: int = 4, by: str = "rows") -> Any:
    result = in_process_dataset(table, ArrayPartition(shards, by)).run(program, RunOptions()).result
    program.publish(result)
    return result


def test_the_files_hold_every_row_in_order_with_the_models_own_bits(model: LogisticRegression, tmp_path: Path) -> None:
    table = mixed_rows(40_000, seed=1)
    result = run(PredictProgram(model.model_record_, str(tmp_path / "deep" / "out"), ("key", "city")), table)
    written = read_output(tmp_path / "deep" / "out")
    assert written.schema.names == ["key", "city", "prediction", "probability"]
    assert written.column("key").to_pylist() == list(range(40_000)) and result["rows"] == 40_000
    expected = model.predict_proba(table.select(["amount", "seats", "city", "member"]))[:, 1]
    assert written.column("probability").to_numpy().tobytes() == np.ascontiguousarray(expected).tobytes()
    assert result["model"] == model.digest_


def test_a_shard_without_rows_has_a_file_of_the_same_columns(model: LogisticRegression, tmp_path: Path) -> None:
    table = mixed_rows(50)
    run(PredictProgram(model.model_record_, str(tmp_path), ("city",)), table.slice(0, 2), shards=4)
    assert len(list(tmp_path.glob("part-*.parquet"))) == 4
    assert read_output(tmp_path).schema.types == [pa.string(), pa.bool_(), pa.float64()]


def test_the_program_travels_by_name(model: LogisticRegression, tmp_path: Path) -> None:
    program = PredictProgram(model.model_record_, str(tmp_path), ("key",))
    again = resolve(unpack(pack(reference(program))))
    assert isinstance(again, PredictProgram) and isinstance(again, Publishes)
    assert (again.run, again.columns, digest(again.model)) == (program.run, ("key",), model.digest_)


def test_a_second_attempt_replaces_the_files_of_the_first(model: LogisticRegression, tmp_path: Path) -> None:
    """A generation died after some of its files were written: the next one's manifest names each row once."""
    program, table = PredictProgram(model.model_record_, str(tmp_path)), mixed_rows(100)
    dataset = in_process_dataset(table, ArrayPartition(3))
    state = program.initial(dataset.manifest)
    lost = program.partial(state, dataset.shards[0], dataset.shards[0].blocks)["files"][0][1]
    assert (tmp_path / lost).exists() and find_manifest(tmp_path) is None
    parts = {(0, shard.index): program.partial(state, shard, shard.blocks) for shard in dataset.shards}
    done = program.update(state, tree.reduce(parts, tree.root(3), 3, program.merge))
    program.publish(done.result)  # type: ignore[union-attr]
    program.publish(done.result)  # type: ignore[union-attr]
    assert not (tmp_path / lost).exists()
    assert read_output(tmp_path).num_rows == 100


def test_predicting_again_into_the_same_folder_leaves_one_run(model: LogisticRegression, tmp_path: Path) -> None:
    run(PredictProgram(model.model_record_, str(tmp_path)), mixed_rows(100), shards=5)
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    run(PredictProgram(model.model_record_, str(tmp_path)), mixed_rows(60), shards=2)
    assert len(list(tmp_path.glob("*.parquet"))) == 2 and other.exists()
    assert not list(tmp_path.glob(".*")), "no draft is left"


def test_the_manifest_tells_the_sha256_of_each_file(model: LogisticRegression, tmp_path: Path) -> None:
    import hashlib

    result = run(PredictProgram(model.model_record_, str(tmp_path)), mixed_rows(100))
    assert json.loads((tmp_path / "manifest.json").read_text()) == result
    for entry in result["files"]:
        assert hashlib.sha256((tmp_path / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


def test_refusals_name_what_is_wrong(model: LogisticRegression, tmp_path: Path) -> None:
    record = model.model_record_
    with pytest.raises(CallerError, match="absolute"):
        PredictProgram(record, "out")
    with pytest.raises(CallerError, match="'prediction' cannot be copied"):
        PredictProgram(record, str(tmp_path), ("prediction",))
    with pytest.raises(CallerError, match="no column 'city' \\(the model reads it\\)"):
        run(PredictProgram(record, str(tmp_path)), mixed_rows(10).drop_columns(["city"]))
    with pytest.raises(CallerError, match="no column 'tail' \\(to copy\\)"):
        run(PredictProgram(record, str(tmp_path), ("tail",)), mixed_rows(10))
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    (tmp_path / "file").write_text("")
    with pytest.raises(CallerError, match="cannot write to the output folder"):
        run(PredictProgram(record, str(tmp_path / "file")), mixed_rows(10))


def test_an_infinity_in_the_rows_leaves_no_draft(model: LogisticRegression, tmp_path: Path) -> None:
    table = mixed_rows(10)
    table = table.set_column(1, "amount", pc.add(table.column("amount"), float("inf")))
    with pytest.raises(CallerError, match="infinite"):
        run(PredictProgram(model.model_record_, str(tmp_path)), table, shards=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"files": [{"file": "../up"}]}', '{"files": 3}'])
def test_a_foreign_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(Corrupt):
        find_manifest(tmp_path)


def test_a_folder_without_manifest_has_no_output(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="no prediction was finished"):
        read_output(tmp_path)


def test_who_publishes_too_late_leaves_what_a_later_run_put_there(model: LogisticRegression, tmp_path: Path) -> None:
    table = mixed_rows(100)
    first = PredictProgram(model.model_record_, str(tmp_path))
    result, later = run(first, table), run(PredictProgram(model.model_record_, str(tmp_path)), table)
    with pytest.raises(CallerError, match="a later run replaced it"):
        first.publish(result)
    assert find_manifest(tmp_path) == json.loads(json.dumps(later)) and read_output(tmp_path).num_rows == 100


def test_two_that_publish_one_run_at_once_leave_a_whole_manifest_at_every_moment(tmp_path: Path) -> None:
    """The generation that finished a run and whoever read its result both publish it."""
    manifest = {"run": "once", "files": [{"file": f"part-{index}", "rows": 1, "sha256": "0" * 64} for index in range(200)]}
    write_manifest(tmp_path, manifest)
    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(lambda: [write_manifest(tmp_path, manifest) for _ in range(60)]) for _ in range(2)]
        while not all(writer.done() for writer in writers):
            assert find_manifest(tmp_path) == manifest
        for writer in writers:
            writer.result()
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
