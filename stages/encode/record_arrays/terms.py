"""Terms fitted on entities' names with their inverse document frequencies, as arrays of a store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Terms:
    """Columns of a record array: term i has the frequency idf[i], float64, shape: (terms,)."""

    names: tuple[str, ...]
    idf: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def fit(cls, names: Sequence[str], **vectorizer: Any) -> Terms:
        """The terms of all names that scikit-learn's TfidfVectorizer finds, settings as given."""
        # Here and not above: it takes seconds to import, and a finished store needs none of it.
        from sklearn.feature_extraction.text import TfidfVectorizer

        fitted = TfidfVectorizer(dtype=np.float64, **vectorizer)
        try:
            fitted.fit(names)
        except ValueError:  # not one name has a term
            return cls((), np.zeros(0))
        return cls(tuple(fitted.get_feature_names_out()), fitted.idf_)

    def state(self) -> dict[str, np.ndarray]:
        """`terms` as JSON, since n-grams hold blanks (uint8, shape: (bytes,)), and `idf`."""
        text = json.dumps(self.names, ensure_ascii=False).encode()
        return {"terms": np.frombuffer(text, np.uint8), "idf": self.idf}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray]) -> Terms:
        """Raises ValueError or KeyError where `state` gave no such arrays."""
        names, idf = json.loads(arrays["terms"].tobytes().decode()), arrays["idf"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("no list of terms")
        if idf.shape != (len(set(names)),) or len(set(names)) != len(names):
            raise ValueError(f"{len(names):,} terms, frequencies of shape {idf.shape}")
        if not np.isfinite(idf).all():
            raise ValueError("frequencies that are not finite")
        return cls(tuple(names), idf)
