"""What is served may still be opening: importing torch and reading a run takes some seconds, and
meanwhile the page and the state are there already."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from stages.serving.batches import Batches
from stages.serving.linking import Linking
from stages.serving.problems import ProblemError
from stages.standards.addresses import default_iri

if TYPE_CHECKING:  # which would import torch
    from stages.serving.served import Served


@dataclass(frozen=True)
class Service:
    """What the routes answer with.

    Args:
        iri: addresses of entities in NIF, with `{id}` in the place of the id.
    """

    served: Served
    batches: Batches
    linking: Linking
    iri: str


class Door:
    """Args:
    opening: gives what is served, sooner or later.
    seconds: that a request may wait for it, and then for its answer.
    iri: as of `Service`; None takes the default of the entities' ids.
    """

    def __init__(self, opening: Future[Served], seconds: float, iri: str | None) -> None:
        self._opening, self._seconds, self._iri = opening, seconds, iri
        self._service: Service | None = None

    @property
    def is_open(self) -> bool:
        return self._opening.done() and self._opening.exception() is None

    async def service(self) -> Service:
        """Raises ProblemError: it is not open in time."""
        if not self._opening.done():
            waiting = asyncio.shield(asyncio.wrap_future(self._opening))
            try:
                await asyncio.wait_for(waiting, self._seconds)
            except TimeoutError:
                raise ProblemError(
                    HTTPStatus.SERVICE_UNAVAILABLE, "the run is still being opened",
                    "try again in some seconds", headers={"Retry-After": "5"},
                ) from None  # fmt: skip
        if self._service is None:  # the loop's thread alone comes here
            self._service = self._of(self._opening.result())
        return self._service

    def _of(self, served: Served) -> Service:
        batches = Batches(served.linker)
        batches.begin()
        ids = [entity.id for entity in served.linker.entities]
        iri = self._iri or default_iri(ids, served.linker.about.dataset)
        return Service(served, batches, Linking(served.linker, batches, self._seconds), iri)

    def close(self) -> None:
        """Nothing is linked any more."""
        if self._service is not None:
            self._service.batches.end()
            self._service = None
