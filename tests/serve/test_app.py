"""The endpoint, spoken to over ASGI: answers with the model's bits, refusals with a status and a sentence, bounds."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from serving_data import mixed_rows

from muskox import trusted_code
from muskox.errors import CallerError
from muskox.learn import LogisticModel, LogisticRegression, TorchClassifier
from muskox.serve import AppLimits, make_app

KEY = {"Authorization": "Bearer sesame"}
COLUMNS = ["amount", "seats", "city", "member"]


class Client:
    """Asks an application in this process, one request at a time."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://muskox") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


@pytest.fixture(scope="module")
def client(model: LogisticRegression) -> Client:
    return Client(make_app(model.model_record_, "sesame", AppLimits(body_bytes_max=20_000, rows_max=100)))


def ask(client: Client, content: Any) -> Any:
    return client.post("/predict", content=json.dumps(content), headers=KEY)


def test_health_needs_no_key(client: Client, model: LogisticRegression) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200 and answer.json() == {"status": "ok", "model": model.digest_}


def test_one_row_and_a_batch_get_the_models_own_bits(client: Client, model: LogisticRegression) -> None:
    table = mixed_rows(50, seed=3).select(COLUMNS)
    expected = model.predict_proba(table)[:, 1].tolist()
    rows = table.to_pylist()
    batch = ask(client, {"rows": rows}).json()
    assert batch["probabilities"] == expected and batch["model"] == model.digest_
    assert batch["predictions"] == model.predict(table).tolist()
    for row, probability in zip(rows, expected, strict=True):
        assert ask(client, [row]).json()["probabilities"] == [probability]


def test_a_missing_key_is_a_missing_value(client: Client) -> None:
    given = [{}, {"amount": None, "seats": None}, dict.fromkeys(COLUMNS)]
    answers = ask(client, given).json()["probabilities"]
    assert len(set(answers)) == 1 and not math.isnan(answers[0])


def test_a_whole_float_is_an_int_and_no_rows_are_fine(client: Client) -> None:
    assert ask(client, [{"seats": 3.0}]).json()["probabilities"] == ask(client, [{"seats": 3}]).json()["probabilities"]
    assert ask(client, []).json()["predictions"] == []


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"amuont": 1.0}, "row 1: no column 'amuont'; the model reads amount, seats, city, member"),
        ({"amount": "1.0"}, "row 1, column 'amount': the text '1.0' is no float"),
        ({"amount": True}, "row 1, column 'amount': true is no float"),
        ({"seats": 1.5}, "row 1, column 'seats': the number 1.5 is no int"),
        ({"seats": 2**63}, "row 1, column 'seats': the number 9223372036854775808 is no int"),
        ({"city": 3}, "row 1, column 'city': the number 3 is no string"),
        ({"member": 1}, "row 1, column 'member': the number 1 is no bool"),
        ({"member": [1]}, "row 1, column 'member': a list is no bool"),
        ({"member": {}}, "row 1, column 'member': an object is no bool"),
        ("Oslo", "row 1 is the text 'Oslo': a row is an object, column name to value"),
        (None, "row 1 is null: a row is an object, column name to value"),
    ],
)
def test_a_wrong_row_is_named(client: Client, row: Any, sentence: str) -> None:
    answer = ask(client, [{}, row])
    assert (answer.status_code, answer.json()) == (422, {"error": sentence})


@pytest.mark.parametrize("body", [b"", b"{", b'{"rows": [NaN]}', b"\xff\xfe", b"[" * 15_000, b'[{"amount": 1e999}]'])
def test_garbage_is_refused(client: Client, body: bytes) -> None:
    answer = client.post("/predict", content=body, headers=KEY)
    assert answer.status_code == 400 and "not JSON" in answer.json()["error"]


@pytest.mark.parametrize("content", [{}, {"rows": {}}, 3, None, "rows", {"row": []}])
def test_json_without_rows_is_refused(client: Client, content: Any) -> None:
    assert ask(client, content).status_code == 422


@pytest.mark.parametrize(
    "given",
    [b"", b"Bearer", b"Bearer sesam", b"Basic sesame", b"sesame", b"Bearer s\xe9same", b"Bearer sesame sesame"],
)
def test_nobody_predicts_without_the_key(client: Client, given: bytes) -> None:
    answer = client.post("/predict", json=[{}], headers=[(b"Authorization", given)])
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
    assert "Bearer KEY" in answer.json()["error"]


def test_too_many_rows_or_bytes_are_refused(client: Client) -> None:
    assert ask(client, [{}] * 100).status_code == 200
    assert ask(client, [{}] * 101).json() == {"error": "101 rows in one request: at most 100"}
    assert ask(client, [{"city": "x" * 20_000}]).status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 1000

    assert client.post("/predict", content=endless(), headers=KEY).status_code == 413


def test_other_paths_and_methods_answer_with_a_sentence(client: Client) -> None:
    assert client.get("/").status_code == 404
    answer = client.get("/predict")
    assert answer.status_code == 405 and "POST /predict" in answer.json()["error"]


def test_an_error_of_ours_tells_its_kind_only(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(LogisticModel, "predict_batch", broken)
    answer = ask(client, [{}])
    assert (answer.status_code, answer.json()) == (500, {"error": "the endpoint failed: ZeroDivisionError"})


def test_a_model_that_holds_code_is_served_only_if_it_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    source = "from torch import nn\n\ndef build(inputs, outputs):\n    return nn.Linear(inputs, outputs)\n"
    X = [[0.0], [1.0], [2.0], [3.0]]
    trained = TorchClassifier(source=source, max_rounds=5).fit(X, [0, 0, 1, 1])
    monkeypatch.setattr(trusted_code, "_trusted", {})  # as in another process
    with pytest.raises(CallerError, match="contains Python code"):
        make_app(trained.model_record_, "sesame")
    trusted_code.trust(source)
    client = Client(make_app(trained.model_record_, "sesame"))
    found = ask(client, [{"x0": 0.0}, {"x0": 3.0}]).json()
    assert found["predictions"] == trained.predict([[0.0], [3.0]]).tolist()
    assert found["probabilities"] == trained.predict_proba([[0.0], [3.0]])[:, 1].tolist()
