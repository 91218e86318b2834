"""The words of entities' names, looked for in mentions' sentences; for the lexical unit, not in the
paper. A mention is often a part of a name whose rest stands elsewhere in the sentence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True)
class NameWords:
    """Two sides whose product is the share of a name that a sentence contains.

    C(sentence, name) = Σ idf(w)² over the name's words in the sentence / Σ idf(w)² over the name's

    Case and accents do not count, nor how often a word occurs. Words are runs of letters and
    digits, so a script that sets no blanks gives long words, which rarely match. Fitted on the
    knowledge base alone.
    """

    terms: tuple[str, ...]
    idf: np.ndarray

    @classmethod
    def fit(cls, names: Sequence[str]) -> NameWords:
        vectorizer = _vectorizer()
        try:
            vectorizer.fit(names)
        except ValueError:  # not one name has a word
            return cls((), np.zeros(0))
        return cls(tuple(vectorizer.get_feature_names_out()), vectorizer.idf_)

    def of_names(self, names: Sequence[str]) -> sp.csr_array:
        """CSR float32 (names, terms): each word's share of its name; a row sums to 1 or is zero."""
        shares = self._contained(names)
        shares = sp.csr_array(shares @ sp.diags_array(self.idf**2))
        whole = np.repeat(shares.sum(axis=1), np.diff(shares.indptr))
        shares.data /= whole
        return sp.csr_array(shares, dtype=np.float32)

    def in_sentences(self, sentences: Sequence[str]) -> sp.csr_array:
        """CSR float32 (sentences, terms): 1 where the sentence contains the word."""
        return sp.csr_array(self._contained(sentences), dtype=np.float32)

    def _contained(self, texts: Sequence[str]) -> sp.csr_array:
        if not self.terms or not texts:
            return sp.csr_array((len(texts), len(self.terms)))
        from sklearn.feature_extraction.text import CountVectorizer

        counter = CountVectorizer(vocabulary=self.terms, **_WORDS)
        return sp.csr_array(counter.transform(texts), dtype=np.float64)

    def terms_as_bytes(self) -> np.ndarray:
        """uint8, for the store: JSON, as the lexicon's."""
        return np.frombuffer(json.dumps(self.terms, ensure_ascii=False).encode(), np.uint8)

    @classmethod
    def from_bytes(cls, terms: np.ndarray, idf: np.ndarray) -> NameWords:
        return cls(tuple(json.loads(terms.tobytes().decode())), np.asarray(idf))


_WORDS: dict[str, Any] = {"token_pattern": r"\w+", "strip_accents": "unicode", "binary": True}


def _vectorizer() -> Any:
    # Here and not above: it takes seconds to import, and a finished store needs none of it.
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(dtype=np.float64, **_WORDS)
