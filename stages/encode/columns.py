"""The small arrays of a store: keys, the records' rows and ids, the lexicon, the projections."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from cache.strings import pack_strings
from stages.datasets.records import Records
from stages.encode.encoders.encoder import Encoder
from stages.encode.lexical import Lexicon
from stages.encode.name_words import NameWords
from stages.encode.plan import GROUPS, PicturePlan, TextPlan
from stages.paths import SPLITS


def small_arrays(
    records: Records,
    texts: TextPlan,
    pictures: PicturePlan,
    encoder: Encoder,
    ngrams: tuple[int, int],
) -> dict[str, np.ndarray]:
    """By name; shapes as in docs/store.md. `<group>/image` waits until all pictures are decoded."""
    arrays: dict[str, np.ndarray] = {"texts/offsets": texts.offsets, "texts/keys": texts.keys}
    if encoder.pixels is not None:
        arrays["images/keys"] = pictures.key_rows
    for name, weight in encoder.projections().items():
        arrays[f"projections/{name}"] = weight
    names = {"entities": records.entities["name"].to_pylist()}
    ids = {"entities": records.entities["id"].to_pylist()}
    for split in SPLITS:
        names[f"mentions/{split}"] = records.mentions[split]["words"].to_pylist()
        ids[f"mentions/{split}"] = records.mentions[split]["id"].to_pylist()
    lexicon = Lexicon.fit(names["entities"], ngrams)
    arrays |= {"lexical/terms": lexicon.terms_as_bytes(), "lexical/idf": lexicon.idf}
    words = NameWords.fit(names["entities"])
    arrays |= {"words/terms": words.terms_as_bytes(), "words/idf": words.idf}
    for group in GROUPS:
        arrays[f"{group}/text"] = texts.rows[group]
        id_bytes, id_offsets = pack_strings(ids[group])
        arrays |= {f"{group}/id_bytes": id_bytes, f"{group}/id_offsets": id_offsets}
        arrays |= _csr(f"lexical/{group}", lexicon(names[group]))
    arrays |= _csr("words/entities", words.of_names(names["entities"]))
    for split in SPLITS:
        sentences = records.mentions[split]["sentence"].to_pylist()
        arrays |= _csr(f"words/mentions/{split}", words.in_sentences(sentences))
    return arrays


def _csr(name: str, matrix: sp.csr_array) -> dict[str, np.ndarray]:
    return {
        f"{name}/indptr": matrix.indptr.astype(np.int64),
        f"{name}/indices": matrix.indices.astype(np.int32),
        f"{name}/data": matrix.data,
    }
