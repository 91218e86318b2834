"""POST /nif."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from stages.serving.door import Door
from stages.serving.problems import ProblemError, described, of_melov
from stages.serving.requests import BAD, media_type, not_supported
from stages.serving.schema import SPANS, TEXT, WORDS
from stages.standards.nif import NifAnswer, NifError, NifText, read_nif, write_nif

TURTLE = ("text/turtle", "application/x-turtle")
NIF_BYTES = 2**20
"""Of a document, which rdflib reads in some seconds."""

_EXAMPLE = """\
@prefix nif: <http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
<http://example.org/1#char=0,48> a nif:Context ;
  nif:isString "Lincoln was sworn in as president in Washington." .
<http://example.org/1#char=0,7> a nif:Phrase ; nif:anchorOf "Lincoln" ;
  nif:beginIndex "0"^^xsd:nonNegativeInteger ; nif:endIndex "7"^^xsd:nonNegativeInteger ;
  nif:referenceContext <http://example.org/1#char=0,48> .
"""
_BODY = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string"}, "example": _EXAMPLE} for kind in TURTLE},
    }
}


def router(door: Door) -> APIRouter:
    routes = APIRouter(tags=["linking"])
    responses: dict[int | str, dict[str, Any]] = {
        200: {"content": {kind: {"schema": {"type": "string"}} for kind in TURTLE}},
        **described(*BAD),
    }

    @routes.post("/nif", responses=responses, response_class=Response, openapi_extra=_BODY)
    async def nif(
        request: Request,
        min_probability: Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)] = None,
    ) -> Response:
        """The mentions of a NIF document linked, as GERBIL's experiment D2KB asks.

        Each gets `itsrdf:taIdentRef`; with `min_probability`, one whose best entity is less
        probable gets an address of nothing.
        """
        kind = media_type(request)
        if kind not in TURTLE:
            raise not_supported(kind, TURTLE)
        data = await request.body()
        if len(data) > NIF_BYTES:
            raise ProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the document is larger than {NIF_BYTES:,} bytes",
            )
        try:
            graph, texts = await anyio.to_thread.run_sync(read_nif, data)
        except NifError as error:
            raise of_melov(error) from None
        _require_small(texts)
        answers, service = [], await door.service()
        for text in texts:
            spans = [(phrase.start, phrase.end) for phrase in text.phrases]
            found = await service.linking(text.text, spans, None, 1, min_probability)
            answers += [
                NifAnswer(phrase, one.answer, one.mention, one.entities[0].probability)
                for phrase, one in zip(text.phrases, found.linked, strict=True)
            ]
        written = await anyio.to_thread.run_sync(write_nif, graph, answers, service.iri)
        return Response(written, media_type=kind)

    return routes


def _require_small(texts: Sequence[NifText]) -> None:
    if sum(len(text.phrases) for text in texts) > SPANS:
        raise _refused(f"the document has more than {SPANS:,} mentions")
    for text in texts:
        if len(text.text) > TEXT:
            raise _refused(f"a text has {len(text.text):,} characters, at most {TEXT:,}")
        for phrase in text.phrases:
            words = text.text[phrase.start : phrase.end]
            if len(words) > WORDS or not words.strip():
                said = "no words" if not words.strip() else f"more than {WORDS:,} characters"
                raise _refused(f"{phrase.start} to {phrase.end}: {said}")


def _refused(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
