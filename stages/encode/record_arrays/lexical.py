"""Character n-gram TF-IDF of names, for the lexical unit. Fitted on the knowledge base alone, so a
mention never changes another's vector; not in the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from stages.config import ExtractConfig
from stages.encode.record_arrays.terms import Terms
from stages.unicode import folded

VERSION = 2
"""Raise it with any change that makes other n-grams of a name."""


@dataclass(frozen=True)
class Lexical:
    """Turns names into rows of unit length; a name without any known n-gram is a zero row.

    Case does not count, nor in which Unicode form a name is spelled.
    """

    name: ClassVar[str] = "lexical"
    per_name: ClassVar[bool] = True

    terms: Terms
    ngrams: tuple[int, int]

    @classmethod
    def fit(cls, names: Sequence[str], config: ExtractConfig) -> Lexical:
        return cls(Terms.fit(names, **_settings(config.lexical_ngrams)), config.lexical_ngrams)

    def of_entities(self, names: Sequence[str], texts: Sequence[str]) -> sp.csr_array:
        """CSR float32, shape: (names, terms)."""
        return self._rows(names)

    def of_mentions(self, words: Sequence[str], sentences: Sequence[str]) -> sp.csr_array:
        """CSR float32, shape: (words, terms)."""
        return self._rows(words)

    def _rows(self, names: Sequence[str]) -> sp.csr_array:
        if not self.terms or not names:
            return sp.csr_array(np.zeros((len(names), len(self.terms)), np.float32))
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            dtype=np.float64, vocabulary=self.terms.names, **_settings(self.ngrams)
        )
        vectorizer.idf_ = self.terms.idf
        return sp.csr_array(vectorizer.transform(names), dtype=np.float32)

    def state(self) -> dict[str, np.ndarray]:
        return self.terms.state()

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], config: ExtractConfig) -> Lexical:
        return cls(Terms.from_state(arrays), config.lexical_ngrams)

    @staticmethod
    def fingerprint(config: ExtractConfig) -> dict[str, Any]:
        return {"lexical_ngrams": list(config.lexical_ngrams), "lexical_version": VERSION}


def _settings(ngrams: tuple[int, int]) -> dict[str, Any]:
    return {"analyzer": "char_wb", "ngram_range": ngrams, "preprocessor": folded}
