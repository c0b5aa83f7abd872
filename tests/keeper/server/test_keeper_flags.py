"""The flags: each sets its option, the command line reads them, what is wrong is one sentence and exit status 2."""

import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from muskox.errors import CallerError
from muskox.keeper import FLAGS, Keeper
from muskox.keeper.__main__ import parse
from muskox.keeper.server.flags import Flag, options_of
from muskox.keeper.server.options import Options, TlsOptions, make_options

SECONDS_MAX = 30.0
TLS = ["--tls-cert=/c.pem"]
SAMPLES = {
    "--client-auth": "want",
    "--super-digest": "super:xQJmxLMiHGwaqBvst5y6rkB6HQs=",
    "--require-auth": "sasl,x509",
    "--min-session-timeout-ms": "7",
    "--max-session-timeout-ms": "70000",
}


def sample(flag: Flag) -> str:
    return SAMPLES.get(flag.name, "2000" if flag.kind is int else "a")


def look_up(options: Any, name: str) -> Any:
    for part in name.split("."):
        options = getattr(options, part)
    return options


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_a_flag_sets_its_option(flag: Flag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("what a file holds\n")
    words = [flag.said(True)] if flag.is_switch else [flag.said(sample(flag))]
    options, notes = parse([*TLS, *words])
    assert not notes
    expected = True if flag.is_switch else flag.kind(sample(flag))
    assert look_up(options, flag.option) == expected
    if flag.is_switch:
        assert look_up(parse([*TLS, flag.said(False)])[0], flag.option) is False


def test_every_option_has_a_flag() -> None:
    named = {flag.option for flag in FLAGS}
    assert set(option_names(Options)) == named
    assert len(named) == len(FLAGS) == len({flag.name for flag in FLAGS})


def option_names(record: Any, prefix: str = "") -> list[str]:
    names = []
    for field in fields(record):
        part = TlsOptions if field.name == "tls" else field.default
        names += option_names(part, f"{field.name}.") if is_dataclass(part) else [prefix + field.name]
    return names


def test_without_any_flag_it_is_apaches_default_but_for_what_listens() -> None:
    options, _ = parse([])
    assert options == make_options({"data_dir": Path("muskox-keeper")})
    assert (options.client_port, options.host, options.tick_ms) == (2181, "127.0.0.1", 2000)
    assert (options.timeout_ms_min, options.timeout_ms_max) == (4000, 40000)
    assert options.http.admin_port is options.http.metrics_port is options.secure_port is None


def test_the_words_always_have_srvr_as_in_apache() -> None:
    assert parse(["--four-letter-words", "ruok, mntr"])[0].four_letter_words == ("ruok", "mntr", "srvr")
    assert parse(["--four-letter-words", "all"])[0].four_letter_words == ("*",)
    assert parse(["--four-letter-words", "ruok,*"])[0].four_letter_words == ("*",)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"client_port": None}, "neither a client port"),
        ({"http.admin_port": 65536}, "admin_port is 65536"),
        ({"secure_port": 1}, "need certificates"),
        ({"port_unification": True}, "need certificates"),
        ({"snapshots_kept": 0}, "snapshots_kept is 0; it must be at least 1"),
        ({"limits.frame_bytes_max": 10}, "at least 1024"),
        ({"limits.connections_max": -1}, "at least 0"),
        ({"tls.cert_file": Path("c"), "tls.client_auth": "perhaps"}, "none, want, need"),
        ({"auth.schemes_required": ("kerberos",)}, "'kerberos' cannot be required"),
        ({"auth.super_digest": "super"}, "user:BASE64"),
        ({"host": ""}, "host is ''; .*0.0.0.0 for every address"),
        ({"secure_host": "a..b"}, "secure_host is 'a..b'"),
        ({"http.admin_host": "x" * 64}, "admin_host is 'x"),
        ({"http.metrics_host": "é"}, "metrics_host is"),
        ({"session_timeout_ms_min": 50_000}, "from 50000 to 40000"),
    ],
)
def test_options_that_break_a_rule_are_refused_with_it(given: dict[str, Any], words: str) -> None:
    with pytest.raises(CallerError, match=words):
        options_of(None, given)


def run(*words: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "muskox.keeper", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False, cwd=cwd)


def test_wrong_use_is_exit_status_2_and_one_sentence(tmp_path: Path) -> None:
    done = run(str(tmp_path / "none.cfg"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("muskox keeper: ") and "cannot be read: No such file" in done.stderr
    assert run("--tick", "5").returncode == 2, "flags are not abbreviated"
    assert "--tick-ms: 'soon' is no whole number" in run("--tick-ms", "soon").stderr
    assert "'none' cannot be read" in run("--tls-key-password-file", "none").stderr


def test_help_has_every_flag_and_examples() -> None:
    said = run("--help").stdout
    assert all(flag.name in said for flag in FLAGS)
    assert "Examples:" in said and "zoo.cfg" in said


@pytest.mark.parametrize(
    ("folder", "words"), [("file", "cannot be used: File exists"), ("file/below", "cannot be used: Not a directory")]
)
def test_a_folder_that_cannot_be_is_told_in_one_sentence(tmp_path: Path, folder: str, words: str) -> None:
    (tmp_path / "file").touch()
    done = run("--data-dir", str(tmp_path / folder), "--client-port", "0")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert words in done.stderr and str(tmp_path / folder) in done.stderr


def test_settings_from_python_are_the_flags() -> None:
    keeper = Keeper(
        data_dir="/d", port=7, tick_ms=500, enforce_quota=True, force_sync=False, log_dir=Path("/l"), users_file=None
    )
    words = keeper.command()[3:]
    assert words == [
        *("--data-dir", "/d", "--client-port", "7", "--host", "127.0.0.1"),
        *("--tick-ms=500", "--enforce-quota", "--no-force-sync", "--log-dir=/l"),
    ]
    options, _ = parse(words)
    assert (options.tick_ms, options.limits.enforce_quota, options.force_sync, options.log_dir) == (
        500,
        True,
        False,
        Path("/l"),
    )
    with pytest.raises(CallerError, match="did you mean max_client_connections"):
        Keeper(max_client_connection=5)
    with pytest.raises(CallerError, match="no setting 'data'"):
        Keeper(data="/d")
