"""Addresses of entities in NIF documents."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

NOT_IN_WIKI = "http://aksw.org/notInWiki/"
WIKIDATA = "http://www.wikidata.org/entity/"
_QID = re.compile(r"[QP][1-9]\d*")


def address(entity: str | None, words: str, iri: str) -> str:
    """Of an entity; of none, one that no knowledge base has."""
    if entity is None:
        return NOT_IN_WIKI + quote(words.strip().replace(" ", "_"), safe="")
    return iri.replace("{id}", quote(entity, safe=""))


def default_iri(ids: Iterable[str], dataset: str) -> str:
    """Wikidata's addresses where all ids are its own; else a name of the data set's."""
    if all(_QID.fullmatch(id) for id in ids):
        return f"{WIKIDATA}{{id}}"
    return f"urn:melov:{dataset}:{{id}}"
