"""The door at which Prometheus reads a node's figures: ``GET /metrics``, on loopback only.

It tells nothing but numbers, asks for no key, and so listens nowhere else. One request at a time, given up after a silence: a
monitor comes now and then.
"""

import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from muskox.errors import Unavailable

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
PATH = "/metrics"
TYPE = "text/plain; version=0.0.4; charset=utf-8"
SILENCE_S_MAX = 2.0  # of whoever asks


class MetricsDoor:
    """Serves what `text` returns. `port` 0 takes a free one; Unavailable if it cannot listen there."""

    def __init__(self, port: int, text: Callable[[], str]) -> None:
        try:
            self._server = HTTPServer((HOST, port), _handler(text))
        except OSError as error:
            raise Unavailable(
                f"the metrics cannot be served at {HOST}:{port}: {error.strerror}; choose another port"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def address(self) -> str:
        return f"{HOST}:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(text: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SILENCE_S_MAX

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != PATH:
                self.send_error(HTTPStatus.NOT_FOUND, f"there is {PATH} and nothing else")
                return
            body = text().encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # its name in the base class
            log.debug(format, *arguments)

    return Handler
