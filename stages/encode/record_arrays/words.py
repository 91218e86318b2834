"""The words of entities' names, looked for in mentions' sentences; for the lexical unit, not in the
paper. A mention is often a part of a name, whose other words stand elsewhere in the sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from stages.config import ExtractConfig
from stages.encode.record_arrays.terms import Terms
from stages.unicode import words_of

VERSION = 2
"""Raise it with any change that makes other words of a name."""
_SETTINGS: dict[str, Any] = {"analyzer": words_of, "binary": True}


@dataclass(frozen=True)
class NameWords:
    """Two sides whose product is the share of a name that a sentence contains.

    C(sentence, name) = Σ idf(w)² over the name's words in the sentence / Σ idf(w)² over the name's

    Case and accents do not count (`stages/unicode.py`), nor how often a word occurs. A script that
    sets no blanks gives long words, which rarely match. Fitted on the knowledge base alone.
    """

    name: ClassVar[str] = "words"
    per_name: ClassVar[bool] = True

    terms: Terms

    @classmethod
    def fit(cls, names: Sequence[str], config: ExtractConfig) -> NameWords:
        return cls(Terms.fit(names, **_SETTINGS))

    def of_entities(self, names: Sequence[str], texts: Sequence[str]) -> sp.csr_array:
        """CSR float32 (names, terms): each word's share of its name; a row sums to 1 or is zero."""
        shares = sp.csr_array(self._contained(names) @ sp.diags_array(self.terms.idf**2))
        whole = np.repeat(shares.sum(axis=1), np.diff(shares.indptr))
        data = (shares.data / whole).astype(np.float32)
        return sp.csr_array((data, shares.indices, shares.indptr), shape=shares.shape)

    def of_mentions(self, words: Sequence[str], sentences: Sequence[str]) -> sp.csr_array:
        """CSR float32 (sentences, terms): 1 where the sentence contains the word."""
        return self._contained(sentences).astype(np.float32)

    def _contained(self, texts: Sequence[str]) -> sp.csr_array:
        if not self.terms or not texts:
            return sp.csr_array((len(texts), len(self.terms)))
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(vocabulary=self.terms.names, **_SETTINGS)
        return sp.csr_array(counter.transform(texts), dtype=np.float64)

    def state(self) -> dict[str, np.ndarray]:
        return self.terms.state()

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], config: ExtractConfig) -> NameWords:
        return cls(Terms.from_state(arrays))

    @staticmethod
    def fingerprint(config: ExtractConfig) -> dict[str, Any]:
        return {"words_version": VERSION}
