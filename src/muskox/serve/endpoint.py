"""Running an endpoint: its key, its socket, its server."""

import hmac
import socket

from starlette.applications import Starlette

from muskox.coordination import Plane, derive
from muskox.errors import Unavailable

BACKLOG = 128
FIRST_REQUEST_S_MAX = 10.0  # of a connection
CONNECTIONS_MAX = 256  # each may hold one body in memory
KEY_CHARACTERS = 40


def endpoint_key(secret: bytes, model_name: str) -> str:
    """Return the key of the endpoint of this model: the same on every machine of the cluster, another for each model."""
    return hmac.digest(derive(secret, Plane.SERVE), model_name.encode(), "sha256").hex()[:KEY_CHARACTERS]


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one.

    Raises
    ------
    Unavailable
        If the port is in use or may not be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port") from error
    return listener


def serve(app: Starlette, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    import asyncio

    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        """Closes a connection that asks nothing: silent ones would use up all that are allowed."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.loop.call_later(FIRST_REQUEST_S_MAX, lambda: self.cycle is None and transport.close())

    config = uvicorn.Config(
        app,
        http=Impatient,
        log_level="warning",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=5,
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[listener])
