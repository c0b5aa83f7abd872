"""The online endpoint of one model as an ASGI application: ``POST /predict`` with rows as JSON, ``GET /healthz``.

Every answer is JSON; a refusal is ``{"error": "one sentence"}``. Whoever predicts must give the key; bytes, rows and time of
a request are bounded before anything is parsed. It knows a model, no cluster: once started it needs none.
"""

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from muskox.digest import digest
from muskox.errors import CallerError
from muskox.learn import load_predictor
from muskox.records import Record
from muskox.serve.rows import RowReader
from muskox.trusted_code import require_trust

PLURALS = {  # of what a model answers for a row; other names stay as they are
    "prediction": "predictions",
    "probability": "probabilities",
    "score": "scores",
    "cluster": "clusters",
    "distance": "distances",
}


@dataclass(frozen=True, slots=True)
class AppLimits:
    """Bounds of one request: what a mistaken or hostile client can make the endpoint hold."""

    body_bytes_max: int = 8 << 20
    rows_max: int = 10_000
    body_wait_s: float = 30.0


class Refusal(Exception):
    """An answer other than 200: its status and its sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def make_app(model: Record, key: str, limits: AppLimits | None = None) -> Starlette:
    """Return the application that serves `model`, a model's record, to whoever gives `key` as ``Authorization: Bearer KEY``.

    Raises
    ------
    CallerError
        If the model holds code that nobody has trusted here; see :mod:`muskox.trusted_code`.
    """
    endpoint = _Endpoint(model, key, limits or AppLimits())
    routes = [Route("/predict", endpoint.predict, methods=["POST"]), Route("/healthz", endpoint.health, methods=["GET"])]
    handlers: dict[Any, Any] = {Refusal: _refused, HTTPException: _not_served, Exception: _failed}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Endpoint:
    def __init__(self, model: Record, key: str, limits: AppLimits) -> None:
        require_trust(model)
        self._predictor = load_predictor(model)
        self._digest = digest(model)
        self._key = key.encode()
        self._limits = limits
        self._reader = RowReader.of_model(self._predictor)

    async def health(self, _: Request) -> Response:
        return _json({"status": "ok", "model": self._digest})

    async def predict(self, request: Request) -> Response:
        self._require_key(request)
        rows = self._rows(await self._body(request))
        try:
            answer = await run_in_threadpool(self._predict, rows)
        except CallerError as error:
            raise Refusal(422, str(error)) from error
        return _json({**answer, "model": self._digest})

    def _require_key(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Compared in constant time: an early end would tell how many characters were right.
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._key):
            raise Refusal(401, "give this endpoint's key as 'Authorization: Bearer KEY'")

    async def _body(self, request: Request) -> bytes:
        size_max = self._limits.body_bytes_max
        too_large = Refusal(413, f"the body is larger than {size_max} bytes: send fewer rows at a time")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > size_max:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_wait_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > size_max:
                        raise too_large
        except TimeoutError as error:
            raise Refusal(408, f"the body did not arrive within {self._limits.body_wait_s:g} s") from error
        except ClientDisconnect as error:
            raise Refusal(400, "the body ended early") from error
        return bytes(body)

    def _rows(self, body: bytes) -> list[Any]:
        try:
            content = msgspec.json.decode(body)  # unlike the json module it refuses NaN and Infinity, which are no JSON
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal(400, f"the body is not JSON: {error}") from error
        rows = content.get("rows") if isinstance(content, dict) else content
        if not isinstance(rows, list):
            raise Refusal(422, 'send rows as {"rows": [{...}, ...]} or as a list of objects')
        if len(rows) > self._limits.rows_max:
            raise Refusal(413, f"{len(rows)} rows in one request: at most {self._limits.rows_max}")
        return rows

    def _predict(self, rows: list[Any]) -> dict[str, Any]:
        answer = self._predictor.predict_batch(self._reader.read(rows))
        return {PLURALS.get(name, name): values.tolist() for name, values in answer.items()}


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


async def _refused(_: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal), "registered for it"
    headers = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else None
    return _json({"error": str(refusal)}, refusal.status, headers)


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it"
    sentence = f"{request.method} {request.url.path} is not served: POST /predict, GET /healthz"
    return _json({"error": sentence}, error.status_code, dict(error.headers or {}))


async def _failed(_: Request, error: Exception) -> Response:
    return _json({"error": f"the endpoint failed: {type(error).__name__}"}, 500)
