"""Mentions as NIF 2.0, as GERBIL reads what is right and what a system answered from files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from rdflib import Graph, Literal, URIRef
from rdflib.namespace import RDF, XSD

from stages.standards.addresses import address
from stages.standards.answered import Answered
from stages.standards.nif import ITSRDF, NIF


@dataclass(frozen=True)
class NifExport:
    """Args:
    iri: addresses of entities, with `{id}` in the place of the id.
    """

    dataset: str
    iri: str

    def gold(self, mentions: Iterable[Answered]) -> str:
        return self._document((m, m.gold, None) for m in mentions)

    def system(self, mentions: Iterable[Answered]) -> str:
        return self._document((m, m.answer, m.score) for m in mentions)

    def _document(self, said: Iterable[tuple[Answered, str | None, float | None]]) -> str:
        graph = Graph()
        graph.bind("nif", NIF)
        graph.bind("itsrdf", ITSRDF)
        for mention, entity, score in said:
            base = f"urn:melov:{self.dataset}:mention:{quote(mention.id, safe='')}"
            context = URIRef(f"{base}#char=0,{len(mention.text)}")
            graph.add((context, RDF.type, NIF.Context))
            graph.add((context, NIF.isString, Literal(mention.text)))
            phrase = URIRef(f"{base}#char={mention.start},{mention.end}")
            if phrase == context:
                phrase = URIRef(f"{base}#mention")
            graph.add((phrase, RDF.type, NIF.Phrase))
            graph.add((phrase, NIF.referenceContext, context))
            graph.add((phrase, NIF.anchorOf, Literal(mention.words)))
            for name, at in (("beginIndex", mention.start), ("endIndex", mention.end)):
                graph.add((phrase, NIF[name], Literal(at, datatype=XSD.nonNegativeInteger)))
            named = URIRef(address(entity, mention.words, self.iri))
            graph.add((phrase, ITSRDF.taIdentRef, named))
            if score is not None:
                confidence = Literal(f"{score:.6f}", datatype=XSD.double)
                graph.add((phrase, ITSRDF.taConfidence, confidence))
        return graph.serialize(format="turtle")
