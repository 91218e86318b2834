"""NIF documents, in and out."""

from __future__ import annotations

import pytest
from rdflib import Graph, URIRef

from stages.standards.addresses import address, default_iri
from stages.standards.nif import ITSRDF, NIF, NifError, read_nif
from tests.stages.serving.test_link_route import refused

HEAD = """\
@prefix nif: <http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
@prefix itsrdf: <http://www.w3.org/2005/11/its/rdf#> .
"""
DOCUMENT = (
    HEAD
    + """
<http://example.org/doc#char=0,25> a nif:RFC5147String, nif:String, nif:Context ;
    nif:beginIndex "0"^^xsd:nonNegativeInteger ;
    nif:endIndex "25"^^xsd:nonNegativeInteger ;
    nif:isString "the harbour of Ada and Bo"^^xsd:string .

<http://example.org/doc#char=15,18> a nif:RFC5147String, nif:String, nif:Phrase ;
    nif:anchorOf "Ada"^^xsd:string ;
    nif:beginIndex "15"^^xsd:nonNegativeInteger ;
    nif:endIndex "18"^^xsd:nonNegativeInteger ;
    nif:referenceContext <http://example.org/doc#char=0,25> .

<http://example.org/doc#char=23,25> a nif:RFC5147String, nif:String, nif:Phrase ;
    nif:anchorOf "Bo"^^xsd:string ;
    nif:beginIndex "23"^^xsd:nonNegativeInteger ;
    nif:endIndex "25"^^xsd:nonNegativeInteger ;
    nif:referenceContext <http://example.org/doc#char=0,25> ;
    itsrdf:taIdentRef <http://example.org/an-older-answer> .
"""
)
ADA = URIRef("http://example.org/doc#char=15,18")
BO = URIRef("http://example.org/doc#char=23,25")


@pytest.mark.parametrize("kind", ["text/turtle", "application/x-turtle"])
def test_a_document_comes_back_with_its_mentions_linked(client, kind):
    answer = client.post(
        "/nif", content=DOCUMENT.encode(), headers={"content-type": f"{kind}; charset=utf-8"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(kind)
    graph = Graph().parse(data=answer.text, format="turtle")
    spans = [{"start": 15, "end": 18}, {"start": 23, "end": 25}]
    body = {"text": "the harbour of Ada and Bo", "mentions": spans}
    linked = client.post("/link", json=body).json()["mentions"]
    for node, one in zip((ADA, BO), linked, strict=True):
        best = one["entities"][0]
        assert list(graph.objects(node, ITSRDF.taIdentRef)) == [
            URIRef(f"urn:melov:tiny:{best['id']}")
        ]
        (confidence,) = graph.objects(node, ITSRDF.taConfidence)
        assert float(confidence) == pytest.approx(best["probability"], abs=1e-6)
    # All that came is there still, but for the older answer.
    asked = Graph().parse(data=DOCUMENT, format="turtle")
    asked.remove((BO, ITSRDF.taIdentRef, None))
    assert set(asked) <= set(graph)


def test_none_of_these_is_an_address_of_nothing(client):
    answer = client.post(
        "/nif?min_probability=1", content=DOCUMENT.encode(), headers={"content-type": "text/turtle"}
    )
    graph = Graph().parse(data=answer.text, format="turtle")
    assert list(graph.objects(ADA, ITSRDF.taIdentRef)) == [URIRef("http://aksw.org/notInWiki/Ada")]


def changed(old: str, new: str) -> bytes:
    assert old in DOCUMENT
    return DOCUMENT.replace(old, new).encode()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no text"),
        (b"{}", "no Turtle"),
        (b"\xff\xfe", "no Turtle"),
        (b"<a> <b> " + b"[ <c> " * 5000, None),
        (b"@prefix : <x> . :a :b (" + b"(" * 20_000, None),
        (HEAD.encode(), "no text"),
        (changed('nif:beginIndex "15"', 'nif:beginIndex "14"'), "anchorOf is not what stands"),
        (changed('nif:endIndex "18"', 'nif:endIndex "1800"'), "anchorOf is not what stands"),
        (changed('"15"^^xsd:nonNegativeInteger ;', '"-1"^^xsd:integer ;'), "one number from 0"),
        (changed('    nif:beginIndex "15"^^xsd:nonNegativeInteger ;\n', ""), "one number from 0"),
        (changed('"15"^^', '"15", "16"^^'), "one number from 0"),
        (
            changed("nif:referenceContext <http://example.org/doc#char=0,25> .", "a <http://x> ."),
            None,
        ),
        (
            changed("nif:referenceContext <http://example.org/doc#char=0,25> .",
                    "nif:referenceContext <http://example.org/other> ."),
            "has no nif:isString",
        ),
        (changed('nif:anchorOf "Ada"^^xsd:string ;\n    nif:beginIndex "15"',
                 'nif:beginIndex "99"'), "is no part of its text"),
        (changed('Bo"^^xsd:string .', 'Bo"^^xsd:string, "another text" .'), "two texts"),
    ],
    ids=range(15),
)  # fmt: skip
def test_a_document_that_is_not_as_expected_is_told_where(client, data, said):
    answer = client.post("/nif", content=data, headers={"content-type": "text/turtle"})
    if said is None:
        assert answer.status_code in (200, 422)
        return
    assert said in refused(answer)["detail"]


def test_another_kind_and_a_large_document_are_refused(client):
    refused(client.post("/nif", content=b"{}", headers={"content-type": "application/json"}), 415)
    large = DOCUMENT.encode() + b"#" * 2**20
    refused(client.post("/nif", content=large, headers={"content-type": "text/turtle"}), 413)


def phrases(n: int) -> bytes:
    more = "".join(
        f"<urn:p{i}> nif:beginIndex 15 ; nif:endIndex 18 ; "
        "nif:referenceContext <http://example.org/doc#char=0,25> .\n"
        for i in range(n)
    )
    return (DOCUMENT + more).encode()


def test_a_document_has_no_end_of_mentions(client):
    answer = client.post("/nif", content=phrases(999), headers={"content-type": "text/turtle"})
    assert "more than 1,000 mentions" in refused(answer)["detail"]


def test_offsets_in_utf_16_are_understood_where_the_anchor_proves_them():
    text = "\U0001f600\U0001f600 Ada"
    document = HEAD + (
        f'<urn:c> nif:isString "{text}" .\n'
        '<urn:p> nif:anchorOf "Ada" ; nif:beginIndex 5 ; nif:endIndex 8 ; '
        "nif:referenceContext <urn:c> .\n"
        '<urn:q> nif:anchorOf "Ada" ; nif:beginIndex 3 ; nif:endIndex 6 ; '
        "nif:referenceContext <urn:c> .\n"
    )
    _, (found,) = read_nif(document.encode())
    assert [(phrase.start, phrase.end) for phrase in found.phrases] == [(3, 6), (3, 6)]
    with pytest.raises(NifError, match="anchorOf"):
        read_nif(document.replace("beginIndex 5", "beginIndex 4").encode())


def test_several_texts_keep_their_mentions_apart():
    document = HEAD + "".join(
        f'<urn:c{i}> a nif:Context ; nif:isString "text {i} Ada" .\n'
        f"<urn:p{i}> nif:beginIndex 7 ; nif:endIndex 10 ; nif:referenceContext <urn:c{i}> .\n"
        for i in range(3)
    )
    graph, texts = read_nif(document.encode())
    assert [(t.text, len(t.phrases)) for t in texts] == [(f"text {i} Ada", 1) for i in range(3)]
    assert len(list(graph.subjects(NIF.referenceContext))) == 3


def test_addresses():
    assert default_iri(["Q1", "Q42"], "x") == "http://www.wikidata.org/entity/{id}"
    assert default_iri(["Q1", "Paris"], "cities") == "urn:melov:cities:{id}"
    assert address("a b/c", "", "http://kb/{id}") == "http://kb/a%20b%2Fc"
    assert address(None, "New York", "x{id}") == "http://aksw.org/notInWiki/New_York"
