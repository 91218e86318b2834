"""What any request is held to before the application sees it: whose it is, how large, how long.

Pure ASGI, so that nothing of a body is held that is beyond the limit, and none is waited for longer
than the limit.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stages.serving.problems import ProblemError

log = logging.getLogger(__name__)

LINGER = 3.0
"""Seconds."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
DOCS_POLICY = f"{PAGE_POLICY}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
"""The description's page starts its script inline."""


@dataclass(frozen=True)
class Limits:
    """What one service takes on.

    Args:
        body_bytes: of a request.
        body_seconds: until all of it is here.
        seconds: of the answer.
        requests: that are worked on or wait at once; others are told to come back.
        hosts: names by which it may be called, against other sites' pages that resolve their own
            name to this machine; None takes any.
    """

    body_bytes: int = 32 * 2**20
    body_seconds: float = 20.0
    seconds: float = 60.0
    requests: int = 128
    hosts: Collection[str] | None = LOOPBACK


class Bounded:
    """`app` within `limits`."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(scope, send)
        if self._inside >= self.limits.requests:
            await _busy(self.limits.requests).response()(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._inner(scope, receive, send)
        finally:
            self._inside -= 1

    async def _inner(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._require_host(headers)
            body = await self._body(headers, receive)
        except ProblemError as problem:
            if problem.status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                await _let_go(receive)
            # Whatever is left of the body, nothing else can come on this connection.
            problem.headers = {**(problem.headers or {}), "Connection": "close"}
            await problem.response()(scope, receive, send)
            return
        if body is None:
            return
        await self.app(scope, _Replay(body, receive), send)

    def _require_host(self, headers: Headers) -> None:
        if self.limits.hosts is None:
            return
        name = headers.get("host", "").lower()
        alone = name if name.endswith("]") else name.rsplit(":", 1)[0]
        if alone not in self.limits.hosts:
            raise ProblemError(
                HTTPStatus.MISDIRECTED_REQUEST, "the service is called by a name not its own",
                f"its names are {', '.join(self.limits.hosts)}; others: --host",
            )  # fmt: skip

    async def _body(self, headers: Headers, receive: Receive) -> bytes | None:
        """All of it; None where the client has gone."""
        most = self.limits.body_bytes
        said = headers.get("content-length", "")
        if said.isdecimal() and int(said[:20]) > most:
            raise _too_large(most)
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    part = message.get("body", b"")
                    size += len(part)
                    if size > most:
                        raise _too_large(most)
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body did not end within {self.limits.body_seconds:g} s",
            ) from None


async def _let_go(receive: Receive) -> None:
    """Lets a client that is still sending end, for a while: who is hung up on while sending may not
    read the answer. Nothing of it is kept."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (message := await receive()).get("more_body", False):
                del message
                await asyncio.sleep(0)  # where all is there already, time passes too


class _Replay:
    """Gives a body that has been read, then what else the client says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _with_headers(scope: Scope, send: Send) -> Send:
    policy = DOCS_POLICY if scope["path"].startswith("/docs") else PAGE_POLICY

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = policy
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {most:,} bytes",
        "scale the picture down: the encoder sees a few hundred pixels a side",
    )  # fmt: skip


def _busy(most: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE, f"{most} requests are being answered or wait",
        "try again in a second", headers={"Retry-After": "1"},
    )  # fmt: skip
