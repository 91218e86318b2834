"""What a request is held to before the application sees it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future

import pytest
from fastapi.testclient import TestClient

from stages.serving import bounds as module
from stages.serving.app import make_app
from stages.serving.bounds import Bounded, Limits
from stages.serving.served import Served
from tests.stages.serving.conftest import ADDRESS, ready
from tests.stages.serving.test_link_route import JSON, SPAN, TEXT_OF, refused

BODY = json.dumps({"text": TEXT_OF, "mentions": [SPAN]}).encode()


def call(app, headers: list[tuple[bytes, bytes]], messages: AsyncIterator[dict]) -> list[dict]:
    """What an ASGI application answers to a body that comes in parts."""
    sent: list[dict] = []

    async def receive() -> dict:
        return await anext(messages)

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/link", "raw_path": b"/link",
        "query_string": b"",
        "headers": headers, "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent


HEADERS = [(b"host", b"127.0.0.1:8000"), (b"content-type", b"application/json")]


async def reads_nothing(scope, receive, send) -> None:
    raise AssertionError("the application was asked")


def document(sent: list[dict]) -> dict:
    start, *rest = sent
    headers = {name.lower(): value for name, value in start["headers"]}
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"connection"] == b"close"
    found = json.loads(b"".join(message.get("body", b"") for message in rest))
    assert found["status"] == start["status"]
    return found


@pytest.mark.parametrize("said", [[], [(b"content-length", b"20000")]])
def test_a_body_that_is_too_large_is_let_end_and_not_kept(said):
    left = 20

    async def messages() -> AsyncIterator[dict]:
        nonlocal left
        while left:
            left -= 1
            yield {"type": "http.request", "body": b"x" * 1000, "more_body": left > 0}

    app = Bounded(reads_nothing, Limits(body_bytes=10_000))
    assert document(call(app, HEADERS + said, messages()))["status"] == 413
    assert left == 0


def test_a_body_that_is_too_large_and_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "LINGER", 0.05)

    async def messages() -> AsyncIterator[dict]:
        while True:
            yield {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    app = Bounded(reads_nothing, Limits(body_bytes=10_000))
    assert document(call(app, HEADERS, messages()))["status"] == 413


def test_a_body_that_never_ends_is_not_waited_for():
    async def messages() -> AsyncIterator[dict]:
        yield {"type": "http.request", "body": b"x", "more_body": True}
        await asyncio.sleep(3600)

    limits = Limits(body_seconds=0.05)
    assert document(call(Bounded(reads_nothing, limits), HEADERS, messages()))["status"] == 408


def test_who_goes_meanwhile_is_not_answered():
    async def messages() -> AsyncIterator[dict]:
        yield {"type": "http.request", "body": b"x", "more_body": True}
        yield {"type": "http.disconnect"}

    assert call(Bounded(reads_nothing, Limits()), HEADERS, messages()) == []


def test_a_body_in_parts_is_one_body(served):
    app = make_app(ready(served))
    with TestClient(app, base_url=ADDRESS) as client:
        want = client.post("/link", content=BODY, headers={"content-type": "application/json"})

        def parts():
            for byte in BODY:
                yield bytes([byte])

        found = client.post("/link", content=parts(), headers={"content-type": "application/json"})
    assert found.json() == want.json()


def test_more_requests_than_are_taken_on_are_told_to_come_back():
    inside, let_out = asyncio.Event(), asyncio.Event()

    async def waits(scope, receive, send) -> None:
        inside.set()
        await let_out.wait()

    app = Bounded(waits, Limits(requests=1))
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": b""}

    async def send(message: dict) -> None:
        sent.append(message)

    async def both() -> None:
        scope = {"type": "http", "path": "/link", "method": "POST", "headers": HEADERS}
        first = asyncio.create_task(app(scope, receive, send))
        await inside.wait()
        await app(scope, receive, send)
        let_out.set()
        await first
        await app(scope, receive, send)  # there is room again

    asyncio.run(both())
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert [message["status"] for message in starts] == [503]
    assert (b"retry-after", b"1") in starts[0]["headers"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200), ("localhost", 200), ("LOCALHOST:80", 200), ("[::1]:8000", 200),
        ("[::1]", 200), ("evil.example", 421), ("127.0.0.1.evil.example:8000", 421), ("", 421),
    ],
)  # fmt: skip
def test_the_service_is_called_by_its_own_names_alone(served, host, status):
    with TestClient(make_app(ready(served)), base_url=ADDRESS) as client:
        answer = client.get("/health", headers={"host": host})
        assert answer.status_code == status
        if status != 200:
            refused(answer, status)
    with TestClient(make_app(ready(served), Limits(hosts=None)), base_url=ADDRESS) as client:
        assert client.get("/health", headers={"host": host}).status_code == 200


def test_an_answer_that_takes_too_long_is_given_up(served):
    with TestClient(make_app(ready(served), Limits(seconds=0)), base_url=ADDRESS) as client:
        answer = client.post("/link", content=BODY, headers={"content-type": "application/json"})
        assert "not linked within 0 s" in refused(answer, 503)["detail"]
        assert answer.headers["retry-after"] == "5"
        assert client.get("/health").status_code == 200


def test_while_it_opens_the_page_is_there_and_who_asks_waits(served):
    opening: Future[Served] = Future()
    with TestClient(make_app(opening, Limits(seconds=0.2)), base_url=ADDRESS) as client:
        assert client.get("/").status_code == 200
        found = client.get("/health").json()
        assert found["status"] == "opening"
        assert found["dataset"] is None
        for method, path in (("GET", "/entities"), ("GET", "/examples"), ("POST", "/link")):
            more = {} if method == "GET" else {"content": BODY, "headers": JSON}
            answer = client.request(method, path, **more)
            assert "still being opened" in refused(answer, 503)["detail"]
    opening = Future()
    with TestClient(make_app(opening), base_url=ADDRESS) as client:
        threading.Timer(0.2, opening.set_result, [served]).start()
        assert client.post("/link", content=BODY, headers=JSON).status_code == 200
        assert client.get("/health").json()["status"] == "ok"
