"""Failures as problem documents (RFC 9457): every answer that is no success has one.

A document has `type`, `title`, `status`, `detail`, and, where something helps, `hint`; of a request
that is not as described, also `errors`, each with its place. It never repeats what was sent: that
may be large, or no text.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from cache.errors import MelovError
from stages.shown import terminal

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20
"""Of one request that are named."""


class ProblemDocument(BaseModel):
    """As a client reads it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str | None = None
    errors: list[dict[str, str]] | None = None


class ProblemError(Exception):
    """What a request is refused with.

    Args:
        detail: what is wrong with what; hint: what helps.
        headers: of the answer, such as Retry-After.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, hint: str | None = None,
        errors: Sequence[dict[str, str]] | None = None, headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status, self.detail, self.hint = status, detail, hint
        self.errors, self.headers = errors, headers

    def response(self) -> Response:
        document = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": terminal(self.detail),
        }
        if self.hint is not None:
            document["hint"] = terminal(self.hint)
        if self.errors is not None:
            document["errors"] = list(self.errors)
        headers = None if self.headers is None else dict(self.headers)
        return JSONResponse(document, int(self.status), headers, MEDIA_TYPE)


def invalid(error: ValidationError | RequestValidationError) -> ProblemError:
    """A request that is not as the description says, place by place."""
    found = [
        {"at": terminal(".".join(map(str, e["loc"]))), "detail": terminal(str(e["msg"]))}
        for e in error.errors()
    ]
    first = found[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return ProblemError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"{first['at'] or 'the body'}: {first['detail']}{more}",
        errors=found[:MOST_ERRORS],
    )


def of_melov(error: MelovError) -> ProblemError:
    """What the linker refuses: the request's fault, since the linker itself was opened whole."""
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, error.message, error.hint)


def install(app: FastAPI) -> None:
    """Every failure of `app` as a problem document."""

    @app.exception_handler(ProblemError)
    async def problem(request: Request, error: ProblemError) -> Response:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def not_valid(request: Request, error: RequestValidationError) -> Response:
        return invalid(error).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        said = str(error.detail)
        if status is HTTPStatus.NOT_FOUND and said == status.phrase:
            said = f"{request.url.path}: nothing is here"
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            said = f"{request.url.path}: not by {request.method}"
        return ProblemError(status, said, headers=error.headers).response()

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        log.error("%s %s: a defect", request.method, request.url.path, exc_info=error)
        return ProblemError(
            HTTPStatus.INTERNAL_SERVER_ERROR, "a defect of the service; its log has the traceback"
        ).response()


def described(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """For FastAPI's `responses`: these may come, each a problem document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {int(s): {"description": s.phrase, "content": content} for s in statuses}
