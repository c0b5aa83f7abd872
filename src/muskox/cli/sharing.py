"""``muskox token``, ``grant`` and ``revoke``: who may read datasets over Arrow Flight without the secret."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from muskox.cli import screen
from muskox.cli.options import Dir, Json, SecretFile, Zk, connected
from muskox.errors import CallerError

Name = Annotated[str, typer.Argument(metavar="NAME", help="name of the dataset")]
User = Annotated[str, typer.Argument(metavar="USER", help="who may read it")]
PasswordFile = Annotated[Path | None, typer.Option(metavar="FILE", help="whose first line is the password; - for stdin")]


def token(json_: Json = False, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None) -> None:
    """Print the bearer token with which any Arrow Flight client reads every dataset, and does nothing else."""
    with connected(dir_, zk, secret_file) as cluster:
        found, addresses = cluster.flight_token(), [node["address"] for node in cluster.status()["nodes"]]
    if json_:
        screen.print_json({"token": found, "addresses": addresses})
    else:
        screen.say(found)
        screen.tell(f"with the header authorization: Bearer TOKEN, at {screen.shortened(addresses)}")


def grant(
    name: Name,
    user: User,
    password_file: PasswordFile = None,
    dir_: Dir = None,
    zk: Zk = None,
    secret_file: SecretFile = None,
) -> None:
    """Let a user read all versions of one dataset over Arrow Flight; asks for a password on a terminal."""
    with connected(dir_, zk, secret_file) as cluster:
        cluster.grant(name, user, read_password(password_file))
    screen.say(f"{user} may read {name}")


def revoke(name: Name, user: User, dir_: Dir = None, zk: Zk = None, secret_file: SecretFile = None) -> None:
    """Take back what `muskox grant` gave."""
    with connected(dir_, zk, secret_file) as cluster:
        cluster.revoke(name, user)
    screen.say(f"{user} may not read {name}")


def read_password(file: Path | None) -> str:
    """Return the password in a file, or asked for twice on the terminal: never one on the command line, which others see."""
    if file is None:
        if not sys.stdin.isatty():
            raise CallerError("there is no terminal to ask for a password on: give --password-file")
        first = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != first:
            raise CallerError("the two passwords differ: nothing was granted")
        return first
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CallerError(f"cannot read a password from {file}: {error}") from error
    return text.partition("\n")[0]
