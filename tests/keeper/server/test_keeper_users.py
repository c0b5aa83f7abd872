"""The files that say who SASL's users are: Apache's and our own."""

from pathlib import Path

import pytest

from muskox.errors import CallerError
from muskox.keeper.server.users import find_exposure, read_users

JAAS_FILE = """
/* two
   lines */
Client {  // the client's own section is not the server's
    org.apache.zookeeper.server.auth.DigestLoginModule required username="eve" user_eve="no";
};
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_super="admin//pw"
    user_bob = "b\\"o\\\\b\\t\\101"
    debug=true
    user_plain=word;
};
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "users"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_a_jaas_file_names_the_users_of_its_server_section(tmp_path: Path) -> None:
    users = dict(read_users(written(tmp_path, JAAS_FILE)))
    assert users == {"super": "admin//pw", "bob": 'b"o\\b\tA', "plain": "word"}


def test_lines_name_a_user_each_and_a_password_may_hold_anything(tmp_path: Path) -> None:
    users = read_users(written(tmp_path, "# who may come\n\nbob:a:b {c}\nmärz: x \n"))
    assert users == (("bob", "a:b {c}"), ("märz", " x "))
    assert read_users(written(tmp_path, "bob:a {\n")) == (("bob", "a {"),)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "names no users"),
        ('Client { a.B required user_x="y"; };', "names no users"),
        ("bob\n", "line 1 of .* is not NAME:PASSWORD"),
        ("a:b\n:secret\n", "line 2 of"),
        ('Server { a.B required user_x="y; };', "section at line 1"),
        ('Server { a.B required user_x="y"; }', "section at line 1"),
        ("Client { a.B required; };\n\nServer { a.B required user_x; };\n", "section at line 3"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(CallerError, match=what) as refused:
        read_users(written(tmp_path, text))
    assert "secret" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="No such file"):
        read_users(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(CallerError, match="not UTF-8"):
        read_users(tmp_path / "bytes")


def test_whoever_lets_everybody_read_the_passwords_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "a:b")
    assert find_exposure(path) is None
    path.chmod(0o644)
    assert "can be read by everybody" in (find_exposure(path) or "")
