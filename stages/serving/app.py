"""The service as an ASGI application: a linker over HTTP, with a page to try it on.

POST /link                     mentions of a text, with a picture, to their entities
POST /nif                      the same for NIF documents, as GERBIL asks
GET  /entities                 the knowledge base, by name and id
GET  /pictures/entities/ID     a data set's pictures; also /pictures/mentions/ID
GET  /examples                 mentions of a data set, to start from
GET  /health                   what is served
GET  /docs                     all of this, described
GET  /                         the page
"""

from __future__ import annotations

import time
import warnings
from collections.abc import AsyncIterator
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline

from stages.serving import problems
from stages.serving.bounds import Bounded, Limits
from stages.serving.door import Door
from stages.serving.problems import ProblemDocument
from stages.serving.routes import entities, link, nif
from stages.serving.schema import Health, LinkRequest, Span

if TYPE_CHECKING:  # which would import torch
    from stages.serving.served import Served

PAGE = Path(__file__).parent / "page"


def make_app(
    opening: Future[Served], limits: Limits | None = None, iri: str | None = None
) -> FastAPI:
    """The application.

    Args:
        opening: gives what is served, sooner or later.
        iri: addresses of entities in NIF, with `{id}` in the place of the id.
    """
    limits, begun = limits or Limits(), time.monotonic()
    door = Door(opening, limits.seconds, iri)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        with warnings.catch_warnings():
            # Odd metadata of pictures; threads decode them, and filters are the process's.
            warnings.filterwarnings("ignore", module="PIL")
            yield
        door.close()

    app = FastAPIOffline(
        title="MELOV linker",
        description="Multimodal entity linking: mentions, with a picture, to entities.",
        redoc_url=None,
        lifespan=running,
    )
    problems.install(app)
    for routes in (link, nif, entities):
        app.include_router(routes.router(door))

    @app.get("/health", tags=["service"])
    async def health() -> Health:
        """What is served, and whether it is open."""
        seconds = round(time.monotonic() - begun, 3)
        if not door.is_open:
            return Health(status="opening", seconds=seconds)
        served = (await door.service()).served
        about = served.linker.about
        return Health(
            status="ok", seconds=seconds, source=served.source, dataset=about.dataset,
            variant=about.variant, seed=about.seed, weights=about.weights,
            entities=len(served.linker.entities), calibration=about.calibration,
            reads_pictures=about.reads_pictures,
        )  # fmt: skip

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
    app.add_middleware(Bounded, limits=limits)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """The description has the schemas that no signature names, too."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(
                title=app.title, version=app.version, description=app.description,
                routes=app.routes,
            )  # fmt: skip
            schemas = found.setdefault("components", {}).setdefault("schemas", {})
            for model in (LinkRequest, Span, ProblemDocument):
                own = model.model_json_schema(ref_template="#/components/schemas/{model}")
                own.pop("$defs", None)
                schemas[model.__name__] = own
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation does
