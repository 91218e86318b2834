"""NIF 2.0 in Turtle, as GERBIL asks for D2KB: texts with marked mentions in, their entities out.

A context has its text (`nif:isString`); a mention refers to it (`nif:referenceContext`) with
`nif:beginIndex` and `nif:endIndex`. What is linked gets `itsrdf:taIdentRef` and
`itsrdf:taConfidence`; an answer "none of these" gets an address outside of every knowledge base, as
GERBIL expects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rdflib import Graph, Literal, Namespace, URIRef
from rdflib.namespace import RDF, XSD
from rdflib.term import Node

from cache.errors import MelovError, reason
from stages.shown import one_line
from stages.standards.addresses import address

NIF = Namespace("http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#")
ITSRDF = Namespace("http://www.w3.org/2005/11/its/rdf#")
BOM = b"\xef\xbb\xbf"


class NifError(MelovError):
    """A document that is no NIF with mentions to link."""


@dataclass(frozen=True)
class Phrase:
    """A mention of a document; start and end in Unicode characters."""

    node: Node
    start: int
    end: int


@dataclass(frozen=True)
class NifText:
    """A context, and its mentions in the order of the text."""

    node: Node
    text: str
    phrases: list[Phrase]


@dataclass(frozen=True)
class NifAnswer:
    """What a phrase is linked to; None: none of the entities."""

    phrase: Phrase
    entity: str | None
    words: str
    probability: float | None


def read_nif(data: bytes) -> tuple[Graph, list[NifText]]:
    """The graph of a Turtle document, and its texts with their mentions.

    Raises:
        NifError: no Turtle, no text, a mention of no text, or one that lies outside of its text or
            whose `nif:anchorOf` is another one than its offsets say.
    """
    graph = Graph()
    try:
        graph.parse(data=data.removeprefix(BOM).decode(), format="turtle", publicID="urn:nif:")
    except RecursionError:
        raise NifError("the document: nested too deeply") from None
    except Exception as error:  # rdflib's parser raises whatever its tokens lead to
        raise NifError(
            f"the document: no Turtle: {one_line(reason(error))}", "NIF 2.0 in Turtle is read"
        ) from None
    texts: dict[Node, str] = {}
    for node, said in graph.subject_objects(NIF.isString):
        text = str(said)
        if node in texts:
            raise NifError(f"{_named(node)}: two texts (nif:isString)")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise NifError(f"{_named(node)}: a lone surrogate, no text") from None
        texts[node] = text
    if not texts:
        raise NifError("the document: no text: no context has a nif:isString")
    phrases: dict[Node, list[Phrase]] = {node: [] for node in texts}
    for node, context in graph.subject_objects(NIF.referenceContext):
        if node in texts:  # a context may refer to itself
            continue
        if context not in texts:
            raise NifError(f"{_named(node)}: its context {_named(context)} has no nif:isString")
        phrases[context].append(_phrase(graph, node, texts[context]))
    found = [
        NifText(node, text, sorted(phrases[node], key=lambda p: (p.start, p.end, str(p.node))))
        for node, text in texts.items()
    ]
    return graph, sorted(found, key=lambda t: str(t.node))


def _phrase(graph: Graph, node: Node, text: str) -> Phrase:
    start, end = (_index(graph, node, name) for name in ("beginIndex", "endIndex"))
    anchor = graph.value(node, NIF.anchorOf)
    if anchor is not None and text[start:end] != str(anchor):
        # Java and JavaScript count a character beyond the basic plane twice.
        wide = text.encode("utf-16-le")
        found = wide[2 * start : 2 * end].decode("utf-16-le", "replace")
        if found != str(anchor):
            raise NifError(
                f"{_named(node)}: nif:anchorOf is not what stands from {start} to {end}",
                "offsets are counted in Unicode characters, from 0 on, the end excluded",
            )
        start = len(wide[: 2 * start].decode("utf-16-le", "replace"))
        end = start + len(found)
    if not 0 <= start < end <= len(text):
        raise NifError(
            f"{_named(node)}: {start} to {end} is no part of its text, which has {len(text):,} "
            "characters"
        )
    return Phrase(node, start, end)


def _index(graph: Graph, node: Node, name: str) -> int:
    said = list(graph.objects(node, NIF[name]))
    digits = str(said[0]) if len(said) == 1 else ""
    if not re.fullmatch(r"\d{1,9}", digits, re.ASCII):
        raise NifError(f"{_named(node)}: nif:{name} must be one number from 0 on")
    return int(digits)


def _named(node: Node) -> str:
    said = one_line(str(node))
    return said if len(said) <= 200 else f"{said[:197]}..."


def write_nif(graph: Graph, answers: Sequence[NifAnswer], iri: str) -> bytes:
    """`graph` with the answers, in the place of links that it had, as Turtle.

    Args:
        iri: addresses of entities, with `{id}` in the place of the id.
    """
    graph.bind("nif", NIF)
    graph.bind("itsrdf", ITSRDF)
    for answer in answers:
        node = answer.phrase.node
        graph.remove((node, ITSRDF.taIdentRef, None))
        graph.remove((node, ITSRDF.taConfidence, None))
        graph.add((node, RDF.type, NIF.Phrase))
        graph.add((node, ITSRDF.taIdentRef, URIRef(address(answer.entity, answer.words, iri))))
        if answer.probability is not None:
            confidence = Literal(f"{answer.probability:.6f}", datatype=XSD.double)
            graph.add((node, ITSRDF.taConfidence, confidence))
    return graph.serialize(format="turtle", encoding="utf-8")
