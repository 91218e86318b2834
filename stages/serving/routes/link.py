"""POST /link."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from stages.serving.door import Door
from stages.serving.problems import ProblemError, described, invalid
from stages.serving.requests import BAD, media_type, not_supported
from stages.serving.schema import SPANS, TEXT, TOP, LinkedMention, LinkRequest, LinkResponse

JSON, FORM = "application/json", "multipart/form-data"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
"""As JSON writes it, in reasonable length."""

_OFFSETS = {"type": "array", "minItems": 1, "maxItems": SPANS}
_OFFSET = {"type": "integer", "maximum": TEXT}
_FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["text", "start", "end"],
    "additionalProperties": False,
    "properties": {
        "text": {"type": "string", "minLength": 1, "maxLength": TEXT},
        "start": {**_OFFSETS, "items": {**_OFFSET, "minimum": 0}},
        "end": {**_OFFSETS, "items": {**_OFFSET, "minimum": 1}},
        "image": {"type": "string", "format": "binary"},
        "top": {"type": "integer", "minimum": 1, "maximum": TOP, "default": 5},
        "min_probability": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/LinkRequest"}},
            FORM: {"schema": _FORM_SCHEMA},
        },
    }
}


def router(door: Door) -> APIRouter:
    routes = APIRouter(tags=["linking"])

    @routes.post("/link", responses=described(*BAD), openapi_extra=_BODY)
    async def link(request: Request) -> LinkResponse:
        """Mentions of a text to their entities, best first.

        As JSON, or as a form with the fields `text`, `start` and `end` (each once a mention),
        `image` (a file), `top` and `min_probability`.
        """
        asked, picture = await _asked(request)
        spans = [(span.start, span.end) for span in asked.mentions]
        service = await door.service()
        has_picture = service.served.has_picture
        found = await service.linking(asked.text, spans, picture, asked.top, asked.min_probability)
        return LinkResponse(
            mentions=[
                LinkedMention.of(span, context, linked, has_picture)
                for span, context, linked in zip(
                    asked.mentions, found.contexts, found.linked, strict=True
                )
            ]
        )

    return routes


async def _asked(request: Request) -> tuple[LinkRequest, bytes | None]:
    """The request and its picture, of JSON or of a form."""
    kind = media_type(request)
    try:
        if kind == FORM:
            async with _form(request) as form:
                return await _of_form(form)
        if kind != JSON:
            raise not_supported(kind, (JSON, FORM))
        # JSON has types of its own: true is no number there, as "3" is none.
        asked = LinkRequest.model_validate_json(await request.body(), strict=True)
        return asked, asked.picture()
    except ValidationError as error:
        raise invalid(error) from None
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    """The form sent. A body that is none is refused as JSON that is none is: by 422, not 400."""
    try:
        form = await request.form(max_files=1, max_fields=2 * SPANS + 8)
    except HTTPException as error:
        raise ValueError(f"the body is no such form: {error.detail}") from None
    try:
        yield form
    finally:
        await form.close()


async def _of_form(form: FormData) -> tuple[LinkRequest, bytes | None]:
    picture: bytes | None = None
    said: dict[str, Any] = {}
    offsets: dict[str, list[Any]] = {"start": [], "end": []}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "image":
                raise ValueError("a file has the name 'image'")
            picture = await value.read()
        elif name in offsets:
            offsets[name].append(value)
        elif name == "image":
            if value:  # else it is a form's field without a file
                raise ValueError("image: expected a file")
        elif name in said:
            raise ValueError("a field stands twice")
        else:
            said[name] = value
    if len(offsets["start"]) != len(offsets["end"]):
        raise ValueError("start and end go together, once a mention")
    spans = zip(map(_number, offsets["start"]), map(_number, offsets["end"]), strict=True)
    mentions = [{"start": start, "end": end} for start, end in spans]
    said |= {name: _number(said[name]) for name in ("top", "min_probability") if name in said}
    return LinkRequest.model_validate({**said, "mentions": mentions}, strict=True), picture


def _number(field: str) -> Any:
    """A form's field as a number, where JSON would read it as one; else as it is, to be refused:
    0.0 is no offset, and +1 no number."""
    if not _NUMBER.fullmatch(field):
        return field
    return int(field) if field.lstrip("-").isdecimal() else float(field)
