"""Java's properties, read as Java reads them: by examples, and against Java itself where there is one."""

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muskox.errors import CallerError
from muskox.keeper.server.java_properties import Property, parse

PROGRAM = Path(__file__).parent / "LoadProperties.java"
PIECES = [
    *(b"\\", b"\\", b"\n", b"\r", b"\r\n", b"\\\n", b" ", b"\t", b"\f", b"=", b":", b"#", b"!", b"a", b"b", b"n", b"u", b"0"),
    *(b"\\u00e9", b"\\uD83D\\ude00", b"\xe9", b"\x85", b"\x1c", b"\x0b", b"\\ ", b"\\:", b"\\t"),
]


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        (b"a=b", [("a", "b", 1)]),
        (b"  a : b c \n", [("a", "b c ", 1)]),
        (b"a b=c", [("a", "b=c", 1)]),
        (b"a\n=b", [("a", "", 1), ("", "b", 2)]),
        (b"# no\n! no\n\n \t\na=1", [("a", "1", 5)]),
        (b"a=1,\\\n   2,\\\r\n # 3\nb=4", [("a", "1,2,# 3", 1), ("b", "4", 4)]),
        (b"a=1\\\\\nb=2", [("a", "1\\", 1), ("b", "2", 2)]),
        (b"a\\=b=c\\td\\q", [("a=b", "c\tdq", 1)]),
        (b"a=\\u00e9\\ud83d\\ude00\xe9", [("a", "\u00e9\U0001f600\u00e9", 1)]),
        (b"a=1\na=2", [("a", "1", 1), ("a", "2", 2)]),
        (b"a=1\\", [("a", "1", 1)]),
        (b"", []),
    ],
)
def test_the_syntax(text: bytes, properties: list[tuple[str, str, int]]) -> None:
    assert parse(text) == [Property(*each) for each in properties]


def test_a_broken_escape_names_its_line() -> None:
    with pytest.raises(CallerError, match=r"line 2: .*four hexadecimal"):
        parse(b"a=1\nb=\\u00g0")


@given(st.binary(max_size=60))
def test_no_bytes_are_beyond_it(data: bytes) -> None:
    try:
        properties = parse(data)
    except CallerError:
        return
    assert all(1 <= each.line <= data.count(b"\n") + data.count(b"\r") + 1 for each in properties)


@pytest.fixture(scope="module")
def java() -> Iterator["subprocess.Popen[bytes]"]:
    if shutil.which("javac") is None:
        pytest.skip("needs a JDK, to run java.util.Properties beside ours")
    words = ["java", "-XX:TieredStopAtLevel=1", str(PROGRAM)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def told_by(java: "subprocess.Popen[bytes]", data: bytes) -> dict[str, str] | None:
    assert java.stdin is not None and java.stdout is not None
    java.stdin.write(struct.pack(">i", len(data)) + data)
    java.stdin.flush()
    line = java.stdout.readline().decode().strip()
    if line == "refused":
        return None
    return {text_of(key): text_of(value) for key, _, value in (each.partition("=") for each in line.split())}


def text_of(digits: str) -> str:
    """Return text of Java's, with a half of a letter, which Python does not print, replaced as we replace it."""
    return bytes.fromhex(digits).decode("utf-16-be", "replace")


def told_by_ours(data: bytes) -> dict[str, str] | None:
    try:
        return {each.key: each.value for each in parse(data)}
    except CallerError:
        return None


@settings(max_examples=1_500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join))
def test_java_reads_the_same(java: "subprocess.Popen[bytes]", data: bytes) -> None:
    # Java takes a lone backslash at the end of a file for an empty key, which nobody means.
    data += b"\nz=1"
    assert told_by_ours(data) == told_by(java, data)
