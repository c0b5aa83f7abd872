"""kazoo's own suite, as its wheel carries it, run against the keeper: it passes what it passes on Apache ZooKeeper.

`passes_on_apache.txt` names what passes on Debian's Apache ZooKeeper 3.8.0, one server standing alone: all but three that are
skipped and seven that need an ensemble. To make it anew, run kazoo's tests with `ZOOKEEPER_CLUSTER_SIZE=1`,
`ZOOKEEPER_VERSION=3.8.0`, and `ZOOKEEPER_CLASSPATH` naming Debian's zookeeper.jar, netty-codec.jar and netty-resolver.jar.
"""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).resolve().parent
PROCESSES = 3  # on two cores: the tests mostly sleep
TEST_SECONDS_MAX = 90
SUITE_SECONDS_MAX = 400
TRIES = 3
FEW = 10  # when more fail, the keeper is wrong


def passed(folder: Path, *words: str) -> tuple[set[str], str]:
    """Run kazoo's tests that `words` choose; return the names of those that pass, and what was said."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "keeper_cluster", "-p", "no:cacheprovider", "-W", "ignore"]
    command += ["--timeout", str(TEST_SECONDS_MAX), "--junitxml", str(report), "--tb", "short", "--pyargs", *words]
    environment = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    ran = subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=SUITE_SECONDS_MAX
    )
    said = ran.stdout[-10_000:] + ran.stderr[-2_000:]
    assert report.exists(), said
    cases = ElementTree.parse(report).iter("testcase")
    return {f"{case.get('classname')}.{case.get('name')}" for case in cases if case.find("*") is None}, said


def node(name: str) -> str:
    module, group, test = name.split(".", 2)
    return f"kazoo.tests.{module}::{group}::{test}"


@pytest.mark.timeout((1 + TRIES) * SUITE_SECONDS_MAX)
def test_kazoos_own_suite_passes_all_that_it_passes_on_apache(tmp_path: Path) -> None:
    wanted = set((HERE / "passes_on_apache.txt").read_text(encoding="utf-8").split())
    assert len(wanted) == 483
    got, said = passed(tmp_path, "kazoo.tests", "-n", str(PROCESSES), "--dist", "loadscope")
    missing = sorted(wanted - got)
    # Some count on a machine that is never slow, and kazoo's start() does not always see in time that a login was refused, on
    # Apache neither. What fails here for a reason fails each time.
    for _ in range(TRIES):
        if not 0 < len(missing) < FEW:
            break
        still = []
        for name in missing:  # one by one: pytest names the tests of one file otherwise than those of many
            alone, said = passed(tmp_path, node(name))
            still += [] if alone else [name]
        missing = still
    assert not missing, said
