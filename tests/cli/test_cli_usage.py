"""What the command line says before any cluster is asked: help with examples, wrong use, errors as one sentence."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from muskox.cli import main
from muskox.cli.app import app
from muskox.cli.estimators import KINDS
from muskox.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numpy", "pyarrow", "kazoo", "sklearn", "scipy", "pandas", "starlette", "uvicorn")
HELP_MODULES_MAX = 450  # 396 when this was written, most of them rich and typer


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_commands_are_the_promised_ones() -> None:
    running = ["up", "down", "status", "logs", "node run", "node list", "node drain", "config show"]
    running += ["config get", "config set", "demo"]
    keeping = ["keeper serve", "keeper check", "keeper dump", "keeper repair", "keeper handover", "keeper shell", "zk"]
    data = ["put", "register", "datasets", "diff", "rm", "token", "grant", "revoke"]
    learning = [
        *(f"train {word}" for word in KINDS),
        "search",
        "jobs",
        "cancel",
        "models",
        "evaluate",
        "importance",
        "predict",
        "serve",
    ]
    assert {" ".join(words) for words in COMMANDS} == {*running, *keeping, *data, *learning}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_and_an_example(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run([*words, "--help"], capsys)
    assert code == 0 and "Examples:" in out and re.search(rf"muskox {' '.join(words)}\b", out)


def shown_commands() -> Iterator[list[str]]:
    """Yield the words of every command line in the blocks of the pages on data."""
    for page in ("README.md", "docs/store.md"):
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines() if language in ("", "sh") else ():
                if "muskox " in line and not line.startswith("make"):
                    yield shlex.split(line.rpartition("| ")[2], comments=True)[1:]


@pytest.mark.parametrize("words", list(shown_commands()), ids=" ".join)
def test_what_the_pages_show_is_understood(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        words = words if words[0] in command.commands else [command.default, *words]
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words)


LISTINGS = (
    "status",
    "datasets",
    "jobs",
    "models",
    "config get",
    "evaluate",
    "predict",
    "train logistic",
    "search",
    "importance",
    "put",
    "register",
    "up",
    "diff",
    "node list",
    "token",
)


@pytest.mark.parametrize("words", LISTINGS)
def test_what_lists_or_makes_something_can_say_it_in_json(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--json" in run([*words.split(), "--help"], capsys)[1]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["put", "flights"],
        ["put", "flights", "a.csv", "--overwrite", "--append"],
        ["put", "flights", "a.csv", "--type", "zip"],
        ["put", "flights", "a.csv", "--shards", "0"],
        ["train", "logistic", "flights", "--name", "late"],
        ["train", "logistic", "flights", "--name", "late", "--target", "late", "--set", "C"],
        ["train", "logistic", "flights", "--name", "late", "--target", "late", "--set", "features=a"],
        ["search", "magic", "flights", "--target", "late", "--try", "C=1"],
        ["search", "logistic", "flights", "--try", "C=1"],
        ["search", "logistic", "flights", "--target", "late", "--try", "D=1"],
        ["datasets", "flights", "planes"],
        ["datasets", "verify"],
        ["datasets", "--check"],
        ["datasets", "verify", "flights", "--check"],
        ["datasets", "flights", "--target", "late"],
        ["diff", "flights"],
        ["node", "drain"],
        ["node", "drain", "node-1", "--wait", "--undo"],
        ["jobs", "--follow"],
        ["predict", "late", "flights"],
        ["serve", "late", "--port", "65536"],
        ["node"],
        ["node", "--zk", "zk://localhost:1/x", "--secret-file", "s", "--cores", "-1"],
        ["config", "set", "replicas"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_use_exits_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(words, capsys)
    assert code == 2 and "Traceback" not in err and (err or "Usage" in out)


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["logs"],
        ["down"],
        ["rm", "x"],
        ["diff", "x", "y"],
        ["node", "list"],
        ["jobs", "x"],
        ["models"],
        ["config", "get"],
    ],
    ids=" ".join,
)
def test_no_cluster_is_one_sentence_and_exit_1(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MUSKOX_ZK", "MUSKOX_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    code, out, err = run([*words, "--dir", str(tmp_path)], capsys)
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert err.startswith(f"muskox: there is no cluster in {tmp_path}: start one with `muskox up`")


def test_the_folder_can_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUSKOX_ZK", raising=False)
    monkeypatch.setenv("MUSKOX_DIR", str(tmp_path / "elsewhere"))
    assert f"no cluster in {tmp_path}/elsewhere" in run(["status"], capsys)[2]


@pytest.mark.parametrize(
    ("error", "said"), [(Unavailable("the store\nis away"), "the store is away"), (KeyError("x"), "KeyError")]
)
def test_an_error_is_one_sentence_unless_debug_is_asked_for(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("muskox.client.connect", broken)
    code, _, err = run(["status"], capsys)
    assert code == 1 and said in err and err.count("\n") == 1
    with pytest.raises(type(error)):
        main(["status", "--debug"])


def test_an_open_secret_and_a_wrong_address_are_told(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x" * 64)
    secret.chmod(0o644)
    assert "readable by others" in run(["status", "--zk", "zk://127.0.0.1:9/muskox", "--secret-file", str(secret)], capsys)[2]
    secret.chmod(0o600)
    assert "is no cluster address" in run(["status", "--zk", "localhost", "--secret-file", str(secret)], capsys)[2]


def test_help_loads_nothing_heavy_and_little_else() -> None:
    """0.3 s of a processor is what it takes; modules are counted instead, which no other process on the machine changes."""
    program = (
        "import sys\nfrom muskox.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n"
        f"    print(len(sys.modules), [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    count, heavy = done.stderr.strip().split(" ", maxsplit=1)
    assert heavy == "[]"
    assert int(count) < HELP_MODULES_MAX
