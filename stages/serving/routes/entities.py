"""GET /entities, /pictures, /examples."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from typing import Annotated, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query
from fastapi.responses import Response

from stages.datasets.decoding.picture import PictureError
from stages.serving.door import Door
from stages.serving.problems import ProblemError, described
from stages.serving.schema import WORDS, EntitiesFound, EntityFound, Examples

_UNKNOWN, _INVALID = HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY


def router(door: Door) -> APIRouter:
    routes = APIRouter(tags=["entities"])

    @routes.get("/entities", responses=described(_INVALID))
    async def entities(
        query: Annotated[str, Query(max_length=WORDS, description="Id, name or alias.")] = "",
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> EntitiesFound:
        """Entities whose id is `query`, then those one of whose names begins with it, then those
        one of whose names holds it; without it the first ones."""
        served = (await door.service()).served
        known = served.linker.entities
        if query.strip():
            found = await run_sync(known.search, query, limit)
        else:
            found = list(islice(known, limit))
        return EntitiesFound(
            total=len(known),
            entities=[
                EntityFound(
                    id=e.id, name=e.name, aliases=list(e.aliases),
                    has_picture=served.has_picture(e.id),
                )
                for e in found
            ],
        )  # fmt: skip

    @routes.get(
        "/pictures/{kind}/{id:path}", response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **described(_UNKNOWN, _INVALID)},
    )  # fmt: skip
    async def picture(kind: Literal["entities", "mentions"], id: str) -> Response:
        """A picture of the data set, small: of one of its entities or of its test mentions."""
        pictures = (await door.service()).served.pictures
        if pictures is None or not pictures.has(kind, id):
            raise ProblemError(_UNKNOWN, "no such picture")
        try:
            jpeg = await run_sync(pictures.jpeg, kind, id)
        except PictureError as error:
            raise ProblemError(_UNKNOWN, f"the picture is not readable: {error}") from None
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})

    @routes.get("/examples")
    async def examples() -> Examples:
        """Test mentions of the data set."""
        return Examples(examples=list((await door.service()).served.examples))

    return routes
