"""The users of SASL and their passwords, from a file: Apache's JAAS file, or a line of "user:password" for each.

It owns how the files are written. Passwords stand in them as they are, because DIGEST-MD5 needs them so: the file must be
readable for the server alone.
"""

import re
import stat
from pathlib import Path

from muskox.errors import CallerError

SECTION = "Server"  # the section of a JAAS file that is the server's
PREFIX = "user_"  # what stands before the name of a user there
QUOTED = r'"(?:[^"\\\n]|\\.)*"'
WORD = r'[^\s{}=;"]+'
COMMENT = re.compile(rf"{QUOTED}|//[^\n]*|/\*.*?\*/", re.DOTALL)
OPTION = re.compile(rf"({WORD})\s*=\s*({QUOTED}|{WORD})")
MODULE = rf"{WORD}\s+{WORD}(?:\s+{WORD}\s*=\s*(?:{QUOTED}|{WORD}))*\s*;"
SECTIONS = re.compile(rf"\s*({WORD})\s*\{{((?:\s*{MODULE})*)\s*\}}\s*;\s*")
JAAS = re.compile(r'\s*[^\s{}=;":]+\s*\{')  # how a JAAS file begins
ESCAPE = re.compile(r"\\([0-3]?[0-7]{1,2}|.)")
CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

Users = tuple[tuple[str, str], ...]


def read_users(path: Path) -> Users:
    """Return the users in a file, with their passwords.

    Raises
    ------
    CallerError
        If it cannot be read, is malformed or names nobody.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CallerError(f"cannot read the users in {path}: {reason}") from error
    bare = COMMENT.sub(lambda found: found[0] if found[0].startswith('"') else "\n" * found[0].count("\n") + " ", text)
    users = read_jaas(path, bare) if JAAS.match(bare) else read_lines(path, text)
    if not users:
        raise CallerError(
            f'{path} names no users; write user_NAME="PASSWORD" into its section {SECTION}, or lines of NAME:PASSWORD'
        )
    return tuple(users.items())


def find_exposure(path: Path) -> str | None:
    """Return a sentence if others than the owner and the group can read the passwords in a file."""
    if path.stat().st_mode & stat.S_IROTH:
        return f"{path} holds passwords and can be read by everybody on this machine; chmod o-r it"
    return None


def read_lines(path: Path, text: str) -> dict[str, str]:
    users: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, password = line.partition(":")
        if not colon or not user:
            raise CallerError(f"line {number} of {path} is not NAME:PASSWORD")
        users[user] = password
    return users


def read_jaas(path: Path, text: str) -> dict[str, str]:
    """Return the users of the server's section: the options user_NAME of its modules."""
    users: dict[str, str] = {}
    at = 0
    while at < len(text):
        section = SECTIONS.match(text, at)
        if section is None:
            line = text.count("\n", 0, len(text) - len(text[at:].lstrip())) + 1
            raise CallerError(
                f'the section at line {line} of {path} is not written as NAME {{ MODULE required KEY="VALUE" ; }};'
            )
        if section[1] == SECTION:
            for key, value in OPTION.findall(section[2]):
                if key.startswith(PREFIX):
                    users[key.removeprefix(PREFIX)] = plain(value)
        at = section.end()
    return users


def plain(value: str) -> str:
    """Return what a word or a string in quotes stands for, as Java's StreamTokenizer reads it."""
    if not value.startswith('"'):
        return value
    return ESCAPE.sub(escaped, value[1:-1])


def escaped(found: re.Match[str]) -> str:
    what = found[1]
    return chr(int(what, 8)) if what[0] in "01234567" else CONTROLS.get(what, what)
