"""What the routes share of a request."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request

from stages.serving.problems import ProblemError

BAD = (
    HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)  # fmt: skip
"""What a request with a body may be refused with."""


def media_type(request: Request) -> str:
    """Of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def not_supported(kind: str, known: Sequence[str]) -> ProblemError:
    return ProblemError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a body of type '{kind[:100]}'",
        f"it is one of {', '.join(known)}",
    )  # fmt: skip
