"""What a keeper makes of zoo.cfg files: as Apache ships them, as Debian and Docker do, with everything, with mistakes.

``zoo_cfg/NAME.cfg`` gives ``zoo_cfg/NAME.txt``: the options and the notes, or the refusal. ``MUSKOX_REWRITE=1`` writes the
latter anew, to be reviewed as a diff.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muskox.errors import CallerError
from muskox.keeper.server import zoo_keys
from muskox.keeper.server.flags import options_of
from muskox.keeper.server.zoo_cfg import read_zoo_cfg

FOLDER = Path(__file__).parent / "zoo_cfg"
CASES = sorted(FOLDER.glob("*.cfg"))


@pytest.fixture(autouse=True)
def _among_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)


def outcome(path: Path) -> str:
    """Return options and notes, a line each; or the refusal."""
    try:
        read = read_zoo_cfg(path)
        _, notes = options_of(path, {})
    except CallerError as error:
        return f"refused: {error}\n"
    lines = [f"{name} = {value}" for name, value in sorted(read.given.items())]
    return "".join(f"{line}\n" for line in [*lines, *notes]).replace(str(Path.cwd()), "FOLDER")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_file_means_what_was_reviewed(path: Path) -> None:
    golden = path.with_suffix(".txt")
    found = outcome(Path(path.name))
    if os.environ.get("MUSKOX_REWRITE"):
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


PORT = "dataDir=/d\nclientPort=2181\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (PORT + "ssl.keyStore.location=/etc/server.jks\n", 3, ["JKS", "keytool -importkeystore -srckeystore /etc/server.jks"]),
        (PORT + "ssl.trustStore.type=PKCS12\nssl.trustStore.location=/t\n", 4, ["PKCS12", "openssl pkcs12 -in /t"]),
        (PORT + "ssl.keyStore.passwordPath=/nowhere/secret\n", 3, ["/nowhere/secret", "cannot be read"]),
        (PORT + "ssl.clientAuth=maybe\n", 3, ["'maybe'", "none, want or need"]),
        (PORT + "ssl.crl=true\n", 3, ["ssl.crl", "revoked"]),
        (PORT + "DigestAuthenticationProvider.enabled=false\n", 3, ["cannot be switched off"]),
        (PORT + "DigestAuthenticationProvider.digestAlg=SHA-256\n", 3, ["SHA-1"]),
        (PORT + "DigestAuthenticationProvider.superDigest=super\n", 3, ["'super'", "user:BASE64"]),
        (PORT + "enforce.auth.enabled=true\nenforce.auth.schemes=kerberos\n", 3, ["'kerberos'", "sasl"]),
        (PORT + "enforce.auth.enabled=true\n", 3, ["enforce.auth.schemes is ''"]),
        (PORT + "sessionRequireClientSASLAuth=yes\n", 3, ["'yes'", "true or false"]),
        (PORT + "emulate353TTLNodes=true\n", 3, ["3.5.3"]),
        (PORT + "\n# why\ntickTime=2 000\n", 5, ["tickTime is '2 000'", "whole number"]),
        (PORT + "tickTime=0\n", 3, ["at least 1"]),
        (PORT + "tickTime=99999999999\n", 3, ["whole number"]),
        (PORT + f"maxCnxns={'9' * 5000}\n", 3, ["whole number"]),
        (PORT + "dataLogDir=a\\u0000b\n", 3, ["path of a file"]),
        (PORT + "maxCnxns=0x\n", 3, ["whole number"]),
        (PORT + "minSessionTimeout=0\n", 3, ["-1 for what follows"]),
        (PORT + "enforceQuota=yes\n", 3, ["true or false"]),
        (PORT + "forceSync=false\n", 3, ["yes or no"]),
        (PORT + "jute.maxbuffer=0x10\n", 3, ["at least 1024"]),
        (PORT + "datadir.autocreate=false\n", 3, ["/d holds no data"]),
        (PORT + "dynamicConfigFile=ensemble.cfg\n", 3, ["server.1, server.2, server.3", "ensemble"]),
        (PORT + "server.1=a:1:2\ndynamicConfigFile=ensemble.cfg\n", 3, ["must stand in the dynamicConfigFile"]),
        (PORT + "dynamicConfigFile=\n", 3, ["dynamicConfigFile is ''", "cannot be read"]),
        (PORT + "dynamicConfigFile=a\\u0000b\n", 3, ["cannot be read"]),
        ("dataDir=\nclientPort=1\n", 1, ["must be the path of"]),
        ("dataDir=/d\nclientPort=70000\n", 2, ["must be a port"]),
        ("clientPort=1\ndataDir=/d\\\n  \\u12\n", 2, ["four hexadecimal digits"]),
    ],
)
def test_what_breaks_a_rule_is_refused_with_file_line_and_rule(tmp_path: Path, text: str, line: int, words: list[str]) -> None:
    path = tmp_path / "zoo.cfg"
    path.write_text(text)
    with pytest.raises(CallerError) as caught:
        options_of(path, {})
    said = str(caught.value)
    assert said.startswith(f"{path}, line {line}: ") and "\n" not in said
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("clientPort=2181\n", ["names no dataDir", "--data-dir"]),
        ("", ["names no dataDir"]),
        ("dataDir=/d\n", ["neither a client port nor a secure"]),
        ("dataDir=/d\nclientPort=0\n", ["neither a client port"]),
        ("dataDir=/d\nsecureClientPort=2281\n", ["need certificates"]),
        (PORT + "minSessionTimeout=9000\nmaxSessionTimeout=8000\n", ["from 9000 to 8000"]),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_file(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "zoo.cfg"
    path.write_text(text)
    with pytest.raises(CallerError) as caught:
        options_of(path, {})
    assert str(path) in str(caught.value) and all(word in str(caught.value) for word in words)


def test_a_password_is_told_nobody(tmp_path: Path) -> None:
    path = tmp_path / "zoo.cfg"
    path.write_text(PORT + "ssl.keyStore.password=höchst geheim\n", encoding="utf-8")
    notes = " ".join(options_of(path, {})[1])
    assert "line 3: ssl.keyStore.password is not ASCII: this format is Latin-1" in notes and "geheim" not in notes


def test_a_file_that_says_no_tick_has_apaches(tmp_path: Path) -> None:
    path = tmp_path / "zoo.cfg"
    path.write_text(PORT, encoding="utf-8")
    options = options_of(path, {})[0]
    assert (options.tick_ms, options.timeout_ms_min, options.timeout_ms_max) == (3_000, 6_000, 60_000)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="cannot be read: No such file"):
        read_zoo_cfg(tmp_path / "none")
    with pytest.raises(CallerError, match="cannot be read: Is a directory"):
        read_zoo_cfg(tmp_path)
    (tmp_path / "long").write_bytes(b"#" * 2_000_000)
    with pytest.raises(CallerError, match="longer than 1048576 bytes"):
        read_zoo_cfg(tmp_path / "long")


def test_flags_override_a_file_and_silence_its_notes() -> None:
    options, notes = options_of(Path("debian.cfg"), {"host": "0.0.0.0", "tick_ms": 500, "data_dir": Path("/mine")})
    assert (options.host, options.tick_ms, options.data_dir) == ("0.0.0.0", 500, Path("/mine"))
    assert (options.client_port, options.snap_count) == (2181, 1000), "the rest is the file's"
    assert not any("127.0.0.1 only" in note for note in notes)
    _, notes = options_of(Path("debian.cfg"), {})
    assert any("port 2181 is opened on 127.0.0.1 only" in note and "--host 0.0.0.0" in note for note in notes)


def test_nothing_listens_beyond_loopback_unless_the_file_says_so() -> None:
    options, _ = options_of(Path("docker.cfg"), {})
    assert {options.host, options.secure_host, options.http.admin_host, options.http.metrics_host} == {"127.0.0.1"}
    options, notes = options_of(Path("everything.cfg"), {})
    assert (options.host, options.secure_host) == ("0.0.0.0", "10.0.0.7")
    assert {options.http.admin_host, options.http.metrics_host} == {"0.0.0.0"}
    assert not any("127.0.0.1 only" in note for note in notes)


def test_a_key_has_one_place_in_the_tables() -> None:
    tables = [set(zoo_keys.MEANINGS), zoo_keys.TOGETHER, set(zoo_keys.REFUSED), set(zoo_keys.NOTED), zoo_keys.IGNORED]
    assert sum(len(table) for table in tables) == len(set().union(*tables)) == len(zoo_keys.KNOWN)
    assert set(zoo_keys.FROM_THE_COMMAND_LINE) <= set(zoo_keys.MEANINGS)


VALUES = st.sampled_from(["", "true", "no", "1", "-1", "0x", "#", "*", "\\u0000", "a:b", "/d", "9" * 20, "none"])
LINES = st.tuples(st.sampled_from([*sorted(zoo_keys.KNOWN), "server.1", "superUser.x", "authProvider.1"]), VALUES | st.text())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=12))
def test_no_file_is_beyond_it(tmp_path: Path, lines: list[tuple[str, str]]) -> None:
    path = tmp_path / "zoo.cfg"
    path.write_text("".join(f"{key}={value}\n" for key, value in lines), encoding="utf-8")
    try:
        options_of(path, {"data_dir": tmp_path})
    except CallerError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ("+7", 7), ("-7", -7), ("010", 8), ("0xfffff", 1048575), ("#10", 16), ("-0x10", -16), ("0", 0)],
)
def test_a_system_property_is_a_number_as_java_decodes_it(text: str, value: int) -> None:
    assert zoo_keys.system_number(text) == value
