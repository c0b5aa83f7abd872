"""``muskox zk`` and ``muskox keeper shell``: commands for any ZooKeeper, one by one, from a script, or in a conversation."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from muskox.cli.options import Json
from muskox.errors import CallerError

CONNECT_S = 10.0  # for a server that is there but slow; one that refuses is told of at once
EXAMPLES = (
    "zk1:2181",
    "zk://127.0.0.1:2181/chroot ls -R /",
    "127.0.0.1:2181 get /a --json",
    "127.0.0.1:2181 < commands",
)
ADDRESS_VARIABLE = "MUSKOX_ZK"

Where = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ADDRESS COMMAND...",
        help="where, as HOST:PORT,HOST:PORT/CHROOT or zk://...; MUSKOX_ZK or 127.0.0.1:2181 without it. Then a command, of "
        "which `help` tells; without one a conversation begins, or commands are read from standard input",
        show_default=False,
    ),
]
Identity = Annotated[
    str | None,
    typer.Option("--auth", metavar="SCHEME:CREDENTIAL", envvar="MUSKOX_ZK_AUTH", help="who you are: digest:user:password"),
]
Secret = Annotated[
    Path | None, typer.Option("--secret-file", metavar="FILE", help="the secret of a muskox cluster, to look into its znodes")
]
Certificate = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert", metavar="PEM", help="your certificate; or MUSKOX_TLS_CERT, _KEY and _CA, for zk:// on other machines"
    ),
]
Key = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="its private key")]
Authority = Annotated[Path | None, typer.Option("--tls-ca", metavar="PEM", help="who signed the server's certificate")]


def zk(  # typer: an option is a parameter
    words: Where = None,
    auth: Identity = None,
    secret_file: Secret = None,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    tls_ca: Authority = None,
    json_: Json = False,
) -> None:
    """Talk to a ZooKeeper, ours or Apache's: one command, a script from standard input, or a conversation."""
    from muskox.cli import zk_client, zk_conversation
    from muskox.cli.zk_command import Place

    given = list(words or ())
    where = os.environ.get(ADDRESS_VARIABLE) or zk_client.LOCAL
    if given and not zk_conversation.is_command(given[0]):
        where = given.pop(0)
    if given and given[0].startswith("-"):
        raise typer.BadParameter(f"{given[0]} belongs before the address")
    if zk_conversation.is_help(given):
        zk_conversation.print_help(given[1:])
        return
    address, chroot = zk_client.find_address(where)
    identities = () if auth is None else (parse_identity(auth),)
    access = zk_client.Access(tls_cert, tls_key, tls_ca, identities, secret_file)
    client = zk_client.connect(address, access, CONNECT_S)
    place = Place(client, address.hosts, chroot)
    try:
        if given:
            zk_conversation.run(place, given, json_)
        elif sys.stdin.isatty():
            zk_conversation.converse(place, json_)
        else:
            zk_conversation.run_script(place, sys.stdin, json_)
    except BrokenPipeError:  # who reads has seen enough: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        zk_client.disconnect(client)


def parse_identity(text: str) -> tuple[str, str]:
    scheme, colon, credential = text.partition(":")
    if not scheme or not colon:
        raise CallerError("--auth takes a scheme and a credential: digest:user:password")
    return scheme, credential
