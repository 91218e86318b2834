"""Character n-gram TF-IDF of names, for the lexical unit. Fitted on the knowledge base alone, so a
mention never changes another's vector; not in the paper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class Lexicon:
    """Turns names into rows of unit length; a name without any known n-gram is a zero row."""

    terms: tuple[str, ...]
    idf: np.ndarray
    ngrams: tuple[int, int]

    @classmethod
    def fit(cls, names: Sequence[str], ngrams: tuple[int, int]) -> Lexicon:
        vectorizer = _vectorizer(ngrams)
        try:
            vectorizer.fit(names)
        except ValueError:  # not one name has a character: there is nothing to compare
            return cls((), np.zeros(0), ngrams)
        return cls(tuple(vectorizer.get_feature_names_out()), vectorizer.idf_, ngrams)

    def __call__(self, names: Sequence[str]) -> sp.csr_array:
        """CSR float32 (names, terms)."""
        if not self.terms or not names:
            return sp.csr_array((len(names), len(self.terms)), dtype=np.float32)
        vectorizer = _vectorizer(self.ngrams, self.terms)
        vectorizer.idf_ = self.idf
        return sp.csr_array(vectorizer.transform(names), dtype=np.float32)

    def terms_as_bytes(self) -> np.ndarray:
        """uint8, for the store: JSON, since n-grams hold blanks."""
        return np.frombuffer(json.dumps(self.terms, ensure_ascii=False).encode(), np.uint8)

    @classmethod
    def from_bytes(cls, terms: np.ndarray, idf: np.ndarray, ngrams: tuple[int, int]) -> Lexicon:
        return cls(tuple(json.loads(terms.tobytes().decode())), np.asarray(idf), ngrams)


def _vectorizer(ngrams: tuple[int, int], terms: Sequence[str] | None = None) -> Any:
    # Here and not above: it takes seconds to import, and a finished store needs none of it.
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer="char_wb", ngram_range=ngrams, vocabulary=terms, dtype=np.float64
    )
