"""An S3 server of our own for tests: moto's, as a process on a free loopback port, that can be made to fail.

It needs moto and flask; `is_installed` tells, and `REASON` is the sentence to skip with. Objects lie in its memory: a
killed one forgets them, a paused one does not. It tells which requests came, and answers chosen ones wrongly when asked
(:class:`Wrong`). It is made ready by asking it, and ended by its process number.
"""

import atexit
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REASON = "moto's S3 server is not installed: pip install 'moto[s3]' flask flask-cors"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
POLL_SECONDS = 0.02
CONTROL = "/_control/"


def is_installed() -> bool:
    return all(find_spec(name) is not None for name in ("moto", "flask", "flask_cors"))


@dataclasses.dataclass
class Wrong:
    """What is to go wrong with the next `times` requests whose "METHOD path?query" begins like the pattern `request`.

    how : an S3 error code such as "AccessDenied" with its `status`, or "cut" (half the answer), "flip" (one bit of it)
    """

    request: str
    how: str
    status: int = 503
    times: int = 1


class ObjectServer:
    """The server; a context manager. Its `environment` is what a client process needs for credentials."""

    environment = CREDENTIALS

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.temporary = tempfile.TemporaryDirectory(prefix="object-server-")
        self.said_path = Path(self.temporary.name) / "said"
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, path: str) -> str:
        """Return the URL of "bucket/prefix" on this server, as `--store` takes it."""
        return f"s3://{path}?endpoint_override=http://127.0.0.1:{self.port}&region=us-east-1"

    def start(self) -> "ObjectServer":
        """Start it, at the same port as before, and wait until it serves."""
        with self.said_path.open("ab") as said:
            atexit.register(self.kill)
            words = [sys.executable, str(Path(__file__).resolve()), str(self.port)]
            self.process = subprocess.Popen(words, stdout=said, stderr=said, env={**os.environ, **CREDENTIALS})
        deadline = time.monotonic() + START_SECONDS_MAX
        try:
            while not self.is_ready():
                assert self.process.poll() is None, self.said()
                assert time.monotonic() < deadline, f"no S3 server within {START_SECONDS_MAX} s: {self.said()}"
                time.sleep(POLL_SECONDS)
        except BaseException:  # bulkhead: whatever went wrong, no server may outlive it
            self.kill()
            raise
        return self

    def is_ready(self) -> bool:
        try:
            self.ask("requests")
        except OSError:
            return False
        return True

    def said(self) -> str:
        return self.said_path.read_text(encoding="utf-8", errors="replace")[-3000:]

    def make_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"herd-{uuid.uuid4().hex}"
        self.send("PUT", f"/{name}")
        return name

    def objects(self, bucket: str) -> list[str]:
        """Return the keys in the bucket, sorted (no more than 1,000)."""
        return sorted(re.findall("<Key>(.*?)</Key>", self.send("GET", f"/{bucket}?list-type=2").decode()))

    def get_object(self, bucket: str, key: str) -> bytes:
        return self.send("GET", f"/{bucket}/{key}")

    def requests(self) -> list[str]:
        """Return "METHOD path?query" of each request of an S3 client since the last call, in order of arrival."""
        return list(json.loads(self.ask("requests")))

    def sent_bytes(self) -> int:
        """Return how many bytes of objects it has sent since it started."""
        return int(self.ask("sent"))

    def go_wrong(self, *wrongs: Wrong) -> None:
        """Let requests go wrong from now on; without arguments let all be well again."""
        self.ask("wrongs", json.dumps([dataclasses.asdict(wrong) for wrong in wrongs]).encode())

    def pause(self) -> None:
        """Stop the process as SIGSTOP does: connections stay, answers do not come."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it as ``kill -9`` does; its objects are gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_SECONDS_MAX)
            self.process = None
            atexit.unregister(self.kill)

    def stop(self) -> None:
        self.kill()
        self.temporary.cleanup()

    def __enter__(self) -> "ObjectServer":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, what: str, data: bytes | None = None) -> bytes:
        return self.send("GET" if data is None else "PUT", CONTROL + what, data)

    def send(self, method: str, target: str, data: bytes | None = None) -> bytes:
        headers = {"X-Amz-Test": "own"}  # so that our own requests are not counted as a client's
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{target}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=START_SECONDS_MAX) as answer:
            return bytes(answer.read())


class Gate:
    """The WSGI application around moto's: it counts requests, and lets chosen ones go wrong."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.requests: list[str] = []
        self.wrongs: list[Wrong] = []
        self.sent = 0
        self.lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        if path.startswith(CONTROL):
            return self.control(path.removeprefix(CONTROL), environ, start_response)
        if "HTTP_X_AMZ_TEST" in environ:
            return list(self.inner(environ, start_response))
        line = f"{environ['REQUEST_METHOD']} {path}" + (f"?{query}" if query else "")
        with self.lock:
            self.requests.append(line)
            wrong = next((each for each in self.wrongs if each.times and re.match(each.request, line)), None)
            if wrong is not None:
                wrong.times -= 1
        if wrong is not None and wrong.how not in ("cut", "flip"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = f"<?xml version='1.0'?><Error><Code>{wrong.how}</Code><Message>as the test asked</Message></Error>".encode()
            start_response(f"{wrong.status} Wrong", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]
        body = b"".join(self.inner(environ, start_response))
        with self.lock:
            self.sent += len(body)
        if wrong is None or not body:
            return [body]
        if wrong.how == "cut":
            return [body[: len(body) // 2]]  # the server closes the connection before what it announced
        return [bytes([body[0] ^ 4]) + body[1:]]

    def control(self, what: str, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with self.lock:
            answer: Any = None
            match what:
                case "requests":
                    answer, self.requests = self.requests, []
                case "sent":
                    answer = self.sent
                case "wrongs":
                    data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
                    self.wrongs = [Wrong(**each) for each in json.loads(data)]
        body = json.dumps(answer).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]


def main(port: int) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    gate = Gate(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", port, gate, threaded=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
