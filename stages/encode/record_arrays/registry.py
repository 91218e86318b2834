"""Arrays with one row a record that a matcher unit reads besides the encoders' features.

A new one is a class with the members of `RecordArray` and an entry in `RECORD_ARRAYS`. Extraction
then stores it, linking computes it for new mentions, and the fingerprint holds its settings:

    <name>/<key>                             what `state` gives
    <name>/<group>/{indptr, indices, data}   rows, where they are sparse
    <name>/<group>                           rows, where they are dense
    <name>/entities/names                    where each entity's rows lie, int64 (entities + 1,), of
                                             an array with a row a name, if any entity has aliases

Imports neither torch nor scikit-learn, so asking whether a store is finished stays quick.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import scipy.sparse as sp

from cache.errors import DamagedStoreError, StoreError, reason
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.entity_columns import every_name
from stages.encode.record_arrays.lexical import Lexical
from stages.encode.record_arrays.words import NameWords

Rows = sp.csr_array | np.ndarray
"""float32, shape: (records, columns); a row depends on its own record and on the fit alone."""


class RecordArray(Protocol):
    """Fitted on the knowledge base; gives a row for any entity and for any mention."""

    name: ClassVar[str]
    """Its group in the store, and its key in a batch."""
    per_name: ClassVar[bool]
    """Whether an entity has a row for each of its names, its own and its aliases; else one row."""

    @classmethod
    def fit(cls, names: Sequence[str], config: ExtractConfig) -> Self:
        """From all entities' names, with their aliases where it is `per_name`."""

    def of_entities(self, names: Sequence[str], texts: Sequence[str]) -> Rows: ...

    def of_mentions(self, words: Sequence[str], sentences: Sequence[str]) -> Rows: ...

    def state(self) -> dict[str, np.ndarray]:
        """All that `from_state` needs, by key."""

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], config: ExtractConfig) -> Self: ...

    @staticmethod
    def fingerprint(config: ExtractConfig) -> dict[str, Any]:
        """The settings that decide its values, as fields of the store's fingerprint."""


_ALL: tuple[type[RecordArray], ...] = (Lexical, NameWords)
RECORD_ARRAYS = {array.name: array for array in _ALL}


def fit_record_arrays(
    said: Mapping[str, tuple[Sequence[str], Sequence[str]]], config: ExtractConfig,
    aliases: Sequence[Sequence[str]] | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, int]]:  # fmt: skip
    """All of them fitted: the arrays of a store by name, and each one's columns.

    Args:
        said: by group, the names and texts of entities, the words and sentences of mentions.
        aliases: of each entity; None where no entity has any.
    """
    arrays: dict[str, np.ndarray] = {}
    columns = {}
    for name, kind in RECORD_ARRAYS.items():
        entities = said["entities"]
        if aliases is not None and kind.per_name:
            entities, offsets = _end_to_end(*entities, aliases)
            arrays[f"{name}/entities/names"] = offsets
        fitted = kind.fit(entities[0], config)
        arrays |= {f"{name}/{key}": array for key, array in fitted.state().items()}
        for group, texts in {**said, "entities": entities}.items():
            rows = (fitted.of_entities if group == "entities" else fitted.of_mentions)(*texts)
            arrays |= _stored(f"{name}/{group}", rows)
            columns[name] = int(rows.shape[1])
    return arrays, columns


def _end_to_end(
    names: Sequence[str], texts: Sequence[str], aliases: Sequence[Sequence[str]]
) -> tuple[tuple[list[str], list[str]], np.ndarray]:
    """Every name of every entity with the entity's text, and where each entity's names lie."""
    every = every_name(names, aliases)
    counts = [len(own) for own in every]
    repeated = [text for text, n in zip(texts, counts, strict=True) for _ in range(n)]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ([name for own in every for name in own], repeated), offsets


def _stored(name: str, rows: Rows) -> dict[str, np.ndarray]:
    if isinstance(rows, np.ndarray):
        return {name: rows}
    return {
        f"{name}/indptr": rows.indptr.astype(np.int64),
        f"{name}/indices": rows.indices.astype(np.int32),
        f"{name}/data": rows.data,
    }


def open_record_array(
    store: FeatureStore, name: str, config: ExtractConfig, hint: str
) -> RecordArray:
    """The one that extraction fitted.

    Args:
        hint: the command that makes the store again, for the message.

    Raises:
        StoreError: the store was made without it, or what it holds is none.
    """
    parts = [array.removeprefix(f"{name}/") for array in store if array.startswith(f"{name}/")]
    if not parts:
        raise StoreError(f"{store.path}: holds no record array '{name}'", hint)
    state = {part: store[f"{name}/{part}"] for part in parts if "/" not in part}
    state.pop("entities", None)  # rows, where they are dense
    whole = {key: rows.slice(0, len(rows)) for key, rows in state.items()}
    try:
        return RECORD_ARRAYS[name].from_state(whole, config)
    except (ValueError, KeyError) as error:
        raise DamagedStoreError(f"{store.path}: {name} is damaged: {reason(error)}", hint) from None
