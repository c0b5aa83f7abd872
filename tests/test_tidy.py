"""The style guide as a test: who may import whom, which files are pure, that the map lists every file, and plain bans."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "muskox"
FILES = sorted(SOURCE.rglob("*.py"))

ROOT_FILES = {
    "errors",
    "digest",
    "streams",
    "program",
    "records",
    "tree",
    "front_door",
    "task_list",
    "together",
    "trusted_code",
    "fold",
    "shelf",
}
EVERYTHING = {"keeper", "learn", "coordination", "store", "runtime", "engines", "evaluate", "serve", "client", "cli"}
MAY_IMPORT = {
    "": set(),
    "keeper": set(),
    "learn": set(),
    "evaluate": set(),
    "coordination": set(),
    "store": {"coordination"},
    "runtime": {"store", "coordination"},
    "engines": {"runtime", "store", "coordination"},
    "serve": {"engines", "store", "coordination", "learn"},
    "client": EVERYTHING - {"cli"},
    "cli": EVERYTHING,
}
KEEPER_MAY_IMPORT = {
    "wire": set(),
    "machine": {"wire"},
    "disk": {"wire", "machine"},
    "server": {"wire", "machine", "disk"},
}

PURE_ROOMS = ("keeper/wire", "keeper/machine", "learn", "evaluate")
PURE_FILES = (
    *(f"{name}.py" for name in sorted(ROOT_FILES)),
    "coordination/course.py",
    "coordination/layout.py",
    "store/manifest.py",
    "store/inspection/check.py",
    "store/inspection/difference.py",
    "store/inspection/profile.py",
    "store/inspection/tally.py",
    "store/partition/assignment.py",
    "store/partition/hashing.py",
    "store/partition/ranges.py",
    "store/partition/rules.py",
    "store/partition/sha256.py",
    "store/partition/skew.py",
    "store/placement/groups.py",
    "store/placement/holders.py",
    "store/placement/repair.py",
    "store/placement/repair_copies.py",
    "store/placement/repair_events.py",
    "store/placement/repair_inventory.py",
    "store/placement/repair_plan.py",
    "store/placement/runs.py",
    "store/placement/settling.py",
    "runtime/planning/picture.py",
    "runtime/planning/places.py",
    "runtime/planning/plan.py",
    "runtime/planning/shares.py",
    "runtime/collective/audit.py",
    "runtime/collective/exchange.py",
    "runtime/collective/pace.py",
    "runtime/collective/reduction.py",
    "runtime/collective/topology.py",
    "runtime/collective/values.py",
    "runtime/round_events.py",
    "runtime/rounds.py",
    "runtime/tasks/disputes.py",
    "runtime/tasks/events.py",
    "runtime/tasks/handout.py",
    "runtime/tasks/leading.py",
    "runtime/tasks/machine.py",
    "runtime/tasks/messages.py",
    "runtime/tasks/saving.py",
)
IMPURE_MODULES = {
    "asyncio", "io", "kazoo", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "sys", "tempfile", "threading", "time", "uuid", "uvloop",
}  # fmt: skip
IMPURE_CALLS = {"print", "open", "input", "hash", "id"}
LEARN_BANNED = {"exp", "log", "log1p", "expm1", "power", "dot", "matmul", "tensordot", "inner"}  # bits differ by CPU
BAD_NAMES = {"utils", "util", "helpers", "common", "misc", "manager", "managers"}
PROSE_BAN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
FUNCTION_LINES_MAX = 80
FILE_LINES_MAX = 420


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by full name"
            assert not any(alias.name == "*" for alias in node.names), f"{path}:{node.lineno}: import *"
            module = node.module or ""
            yield node.lineno, module
            if module == "muskox":
                for alias in node.names:
                    yield node.lineno, f"muskox.{alias.name}"


def room_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_room_imports_only_what_the_design_allows(path: Path) -> None:
    room = room_of(path)
    if relative(path) in ("__init__.py", "__main__.py"):
        return
    for line, module in imported_modules(path):
        if not module.startswith("muskox."):
            continue
        parts = module.split(".")[1:]
        if parts[0] in ROOT_FILES:
            allowed = room != "keeper" or parts[0] == "errors"
        elif parts[0] == room:
            allowed = room != "keeper" or keeper_allows(path, parts[1:])
        else:
            allowed = parts[0] in MAY_IMPORT[room] and len(parts) == 1
        assert allowed, f"{relative(path)}:{line} imports {module}: not allowed, or not through the front door"


def keeper_allows(path: Path, target: list[str]) -> bool:
    own = path.relative_to(SOURCE / "keeper").parts
    if len(own) == 1 or not target or target[0] == own[0]:
        return True
    return target[0] in KEEPER_MAY_IMPORT.get(own[0], set())


def is_pure(path: Path) -> bool:
    name = relative(path)
    return name in PURE_FILES or name.startswith(tuple(f"{room}/" for room in PURE_ROOMS))


@pytest.mark.parametrize("path", [path for path in FILES if is_pure(path)], ids=relative)
def test_a_pure_file_touches_no_world(path: Path) -> None:
    for line, module in imported_modules(path):
        assert module.split(".")[0] not in IMPURE_MODULES, f"{relative(path)}:{line} imports {module}"
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_CALLS, f"{relative(path)}:{node.lineno} calls {node.func.id}()"
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("np.random.") and room_of(path) != "":
            pytest.fail(f"{relative(path)}:{node.lineno} uses {ast.unparse(node)}; take muskox.streams.stream")


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in ("learn", "evaluate")], ids=relative)
def test_learning_uses_no_function_whose_bits_depend_on_the_cpu(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        assert not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)), f"{relative(path)}:{node.lineno}: @"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np":
            assert node.attr not in LEARN_BANNED, f"{relative(path)}:{node.lineno} uses np.{node.attr}"
            assert node.attr != "linalg", f"{relative(path)}:{node.lineno} uses np.linalg"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_opens_with_what_it_owns_and_stays_small(path: Path) -> None:
    module = tree_of(path)
    assert ast.get_docstring(module), f"{relative(path)} has no opening docstring"
    assert path.stem not in BAD_NAMES, f"{relative(path)} is named by no concept"
    text = path.read_text(encoding="utf-8")
    assert not PROSE_BAN.search(text), f"{relative(path)} leaves work in a comment"
    assert text.count("\n") <= FILE_LINES_MAX, f"{relative(path)} has {text.count(chr(10))} lines: split the concept"
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{relative(path)}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_broad_except_says_why(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            if broad:
                assert "# bulkhead:" in lines[node.lineno - 1], f"{relative(path)}:{node.lineno}: a broad except"


def test_the_map_lists_every_file() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    missing = [relative(path) for path in FILES if f"`{relative(path)}`" not in text]
    assert not missing, f"ARCHITECTURE.md does not list {missing}"
    listed = re.findall(r"^- `([\w/]+\.py)`", text, re.MULTILINE)
    gone = [name for name in listed if not (SOURCE / name).exists()]
    assert not gone, f"ARCHITECTURE.md lists files that are gone: {gone}"


def test_no_path_of_one_machine_is_committed() -> None:
    banned = ("/work/", "/root/", "/opt/wheels")
    for folder in (SOURCE, ROOT / "tests", ROOT / "bench", ROOT / "examples", ROOT / "docs", ROOT / ".ci"):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in (".py", ".md", ".toml", ".txt", "") and path != Path(__file__).resolve():
                text = path.read_text(encoding="utf-8", errors="replace")
                assert not any(word in text for word in banned), f"{path} names a path of one machine"


def test_no_two_files_of_tests_share_a_name() -> None:
    """pytest imports each by its bare name, and stops at the second of a name: told here, before the long half starts."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in ("conftest.py", "__init__.py")]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"two files of tests are called {twice}"
