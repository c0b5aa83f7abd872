"""Parameters of a running job, shown and changed by hand; and what a follower of it is told, line by line."""

import json
import re

from command_line import SECONDS_MAX, Muskox

SLOW = ["--set", "solver=gd", "--set", "max_rounds=1000000", "--set", "tol=0", "--set", "learning_rate=0.001"]
TRAIN = ["train", "logistic", "rides", "--target", "late", "--features", "amount,city"]
PHASES = {"compute", "wait", "reduce", "update", "round", "rows_per_s"}


def test_a_running_job_is_steered_by_hand(muskox: Muskox) -> None:
    job = muskox.json(*TRAIN, "--name", "steered", *SLOW, "--detach")["id"]
    following = muskox.start("jobs", job, "--follow", "--json")
    try:
        assert following.stdout is not None
        first = following.stdout.readline()
        shown = {parameter["name"]: parameter["value"] for parameter in muskox.json("config", "--job", job)}
        assert shown == {"max_rounds": 1_000_000, "learning_rate": 0.001}
        said, _ = muskox.run("config", "--job", job, "learning_rate=0.25")
        found = re.match(r"learning_rate=0\.25 after round (\d+)\n", said)
        assert found is not None
        assert muskox.run("config", "get", "learning_rate", "--job", job)[0] == "0.25\n"
        assert "the step from the next round on" in muskox.run("config", "--job", job)[0]
        assert "it must be a finite number above 0" in muskox.refused(
            "config", "set", "learning_rate", "--job", job, "--", "-3"
        )
        assert "C cannot change while this job runs" in muskox.refused("config", "--job", job, "C=2")
        assert "takes a number, not 'fast'" in muskox.refused("config", "--job", job, "learning_rate=fast")
        assert "'C' cannot change while job" in muskox.refused("config", "get", "C", "--job", job)
        last = int(found[1]) + 20
        assert "max_rounds=" in muskox.run("config", "set", "max_rounds", str(last), "--job", job)[0]
        *rounds, record = [json.loads(line) for line in (first, *following.stdout)]
        assert following.wait(SECONDS_MAX) == 0 and record["state"] == "done"
        assert all(set(told) == {"round", "generation", "metrics", "phases"} for told in rounds)
        assert rounds[-1]["phases"].keys() == PHASES and rounds[-1]["phases"]["rows_per_s"] > 0
        assert f"changed at round {found[1]}" in muskox.run("models", "steered")[0]
        assert "is done: nothing of it can change any more" in muskox.refused("config", "--job", job, "learning_rate=1")
        assert "same" in muskox.run("models", "verify", "steered")[0]
    finally:
        following.kill()
        following.communicate()


def test_wrong_words_after_config_are_told(muskox: Muskox) -> None:
    assert "not both" in muskox.run("config", "replicas", "silence_s=3", code=2)[1]
    assert "one NAME at a time" in muskox.run("config", "replicas", "silence_s", code=2)[1]
    assert "there is no job 'nope'" in muskox.refused("config", "--job", "nope")
    assert "there is no job 'nope'" in muskox.refused("config", "--job", "nope", "learning_rate=1")
