"""``muskox node run``: one node of a cluster, in the foreground. ``muskox node --zk ...`` is the same.

It runs until SIGTERM or Ctrl-C, and says what happens to it on stderr, one line an event.
"""

import json
import logging
import secrets
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from muskox.cli.options import size
from muskox.errors import CallerError, Unavailable

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run(  # noqa: PLR0913, PLR0917  # typer: an option is a parameter
    zk: Annotated[str, typer.Option(help="the cluster: zk://HOST:PORT,HOST:PORT/CHROOT", envvar="MUSKOX_ZK")],
    secret_file: Annotated[Path, typer.Option(help="file with the cluster's secret, mode 0600", envvar="MUSKOX_SECRET_FILE")],
    name: Annotated[str, typer.Option(help="name of this node; by default the one kept in DIR, or the host's")] = "",
    dir_: Annotated[Path, typer.Option("--dir", help="folder for this node's blobs")] = Path("muskox-node"),
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port of the store; 0 takes a free one", min=0, max=65535)] = 0,
    advertise: Annotated[str, typer.Option(help="host:port by which other machines reach the store")] = "",
    cores: Annotated[int, typer.Option(help="cores to offer; 0 offers all", min=0)] = 0,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="memory to offer, such as 16GB (default: the machine's)")] = "",
    gpus: Annotated[int | None, typer.Option(help="GPUs to offer (default: all)", min=0)] = None,
    rack: Annotated[str, typer.Option(help="what fails with it, such as a rack or zone: replicas go to different ones")] = "",
    store: Annotated[str, typer.Option(help="s3://BUCKET/PREFIX, ...: where a new cluster keeps everything")] = "",
    session_timeout: Annotated[float, typer.Option(help="ZooKeeper session timeout in seconds", min=0.1)] = 4.0,
    metrics_port: Annotated[
        int | None,
        typer.Option(help="serve figures to Prometheus at 127.0.0.1:PORT/metrics; 0 takes a free port", min=0, max=65535),
    ] = None,
    keeper_file: Annotated[str, typer.Option(hidden=True)] = "",
    tls_cert: Annotated[Path | None, typer.Option(help="this node's certificate (PEM)", envvar="MUSKOX_TLS_CERT")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="its private key (PEM)", envvar="MUSKOX_TLS_KEY")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="the authority that signed every node's certificate (PEM)", envvar="MUSKOX_TLS_CA")
    ] = None,
) -> None:
    """Run one node in the foreground: what you start on each machine of a cluster."""
    from muskox.runtime import pin_environment

    pin_environment()
    from muskox.coordination import make_tls, read_secret
    from muskox.runtime import Node, NodeOptions, find_memory_bytes, hold_lifeline, offered_gpus, usable_cores

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=LOG_FORMAT)
    hold_lifeline()
    options = NodeOptions(
        url=zk,
        secret=read_secret(secret_file),
        name=name or kept_name(dir_) or new_name(),
        folder=dir_,
        host=host,
        port=port,
        advertise=advertise,
        cores=cores or usable_cores(),
        memory_bytes=size(memory) if memory else find_memory_bytes(),
        gpus=offered_gpus(gpus),
        rack=rack,
        store=store,
        session_timeout_s=session_timeout,
        metrics_port=metrics_port,
        keeper_file=keeper_file,
        tls=make_tls(tls_cert, tls_key, tls_ca),
    )
    try:
        running = Node(options)
    except OSError as error:
        raise Unavailable(f"the node cannot start: {error}") from error
    running.run()


def kept_name(folder: Path) -> str:
    """Return the name of the node whose folder this is, or "" if it is no node's yet."""
    try:
        return str(json.loads((folder / "node.json").read_text())["name"])
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CallerError(f"{folder / 'node.json'} is not what a node wrote: {error}; give --name or another --dir") from error


def new_name() -> str:
    """Return a name for a new node: the host's, with a few letters so that two nodes of one host differ."""
    host = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in socket.gethostname()).strip(".-_")
    return f"{host[:64] or 'node'}-{secrets.token_hex(2)}"
