"""What is right and what was answered, as other tools read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdflib import URIRef

from stages.standards import neleval
from stages.standards.answered import Answered
from stages.standards.nif import ITSRDF, read_nif
from stages.standards.nif_export import NifExport

MENTIONS = [
    Answered("m 1", "Ada was here", 0, 3, "Q1", "Q2", 0.75),
    Answered("m/2", "\U0001f600 Bo", 2, 4, None, None, 0.25),
    Answered("m3", "Cy", 0, 2, "Q3", None, 0.5),
]


def test_neleval_gets_a_line_a_mention():
    assert neleval.gold(MENTIONS).splitlines() == [
        "m 1\t0\t3\tQ1\t1.000000\tUNK",
        "m/2\t2\t4\tNIL-m/2\t1.000000\tUNK",
        "m3\t0\t2\tQ3\t1.000000\tUNK",
    ]
    assert neleval.system(MENTIONS).splitlines() == [
        "m 1\t0\t3\tQ2\t0.750000\tUNK",
        "m/2\t2\t4\tNIL-m/2\t0.250000\tUNK",
        "m3\t0\t2\tNIL-m3\t0.500000\tUNK",
    ]


@given(st.lists(st.text(min_size=1), min_size=1, unique=True))
def test_no_id_breaks_a_line_or_passes_for_none(ids):
    mentions = [Answered(id, "Ada", 0, 3, id, id, 1.0) for id in ids]
    lines = neleval.gold(mentions).split("\n")
    assert lines.pop() == ""
    fields = [line.split("\t") for line in lines]
    assert [len(field) for field in fields] == [6] * len(ids)
    named = [field[3] for field in fields]
    assert len({*named}) == len(ids)
    assert not any(name.startswith("NIL") for name in named)


def phrases(document: str) -> Iterator[tuple[str, int, int, str]]:
    graph, texts = read_nif(document.encode())
    for text in texts:
        for phrase in text.phrases:
            (address,) = graph.objects(phrase.node, ITSRDF.taIdentRef)
            assert isinstance(address, URIRef)
            yield text.text, phrase.start, phrase.end, str(address)


@pytest.mark.parametrize(
    ("written", "of"), [("gold", lambda m: m.gold), ("system", lambda m: m.answer)]
)
def test_nif_is_read_back_as_it_was_written(written, of):
    export = NifExport("tiny", "http://kb/{id}")
    found = sorted(phrases(getattr(export, written)(MENTIONS)))
    assert found == sorted(
        (
            m.text, m.start, m.end,
            f"http://kb/{of(m)}" if of(m) else f"http://aksw.org/notInWiki/{m.words}",
        )
        for m in MENTIONS
    )  # fmt: skip
