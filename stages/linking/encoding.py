"""New mentions through the store's own encoder, prepared as extraction prepares its records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.device import DTYPES, resolve_device
from stages.encode.decode import PictureError, decode, quiet_pillow
from stages.encode.encoders.encoder import (
    Checkpoints,
    Encoder,
    Pixels,
    find_checkpoints,
    open_encoder,
)
from stages.encode.lexical import Lexicon
from stages.encode.name_words import NameWords
from stages.encode.plan import fingerprint_of
from stages.encode.tokens import Tokenizer, joined
from stages.encode.units import Loaded, Unit, encode_image_unit, encode_text_unit
from stages.linking.features import NewFeatures
from stages.linking.mention import NewMention


@dataclass(frozen=True)
class MentionEncoder:
    """Encodes mentions into the space of one store; get one from `open_mention_encoder`."""

    encoder: Encoder
    tokenizer: Tokenizer
    config: ExtractConfig
    lexicon: Lexicon | None
    name_words: NameWords | None

    def __call__(self, mentions: Sequence[NewMention]) -> NewFeatures:
        """Features of at least one mention; a picture that cannot be read is a warning."""
        text_global, text_local = self._texts(mentions)
        rows, keys, image_global, image_local, warnings = self._pictures(mentions)
        words = [mention.words for mention in mentions]
        sentences = [mention.sentence for mention in mentions]
        return NewFeatures(
            text_global,
            text_local,
            rows,
            image_global,
            image_local,
            keys,
            None if self.lexicon is None else self.lexicon(words),
            None if self.name_words is None else self.name_words.in_sentences(sentences),
            warnings,
        )

    def _texts(self, mentions: Sequence[NewMention]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Global (n, d_t) and n arrays (n_t, d_local)."""
        ids = self.tokenizer([joined(m.words, m.sentence) for m in mentions])
        order = np.argsort([len(row) for row in ids], kind="stable")  # batches pad little
        sorted_ids = [ids[i] for i in order]
        unit = Unit("texts", 0, len(ids))
        encoded = encode_text_unit(
            self.encoder, sorted_ids, unit, 0, self.config.batch_texts, self.tokenizer.pad
        )
        parts = {name: values for name, _, values in encoded.parts}
        ends = np.cumsum([len(row) for row in sorted_ids])
        local = np.split(parts["texts/local"], ends[:-1])
        back = np.argsort(order)
        return parts["texts/global"][back], [local[i] for i in back]

    def _pictures(
        self, mentions: Sequence[NewMention]
    ) -> tuple[np.ndarray, list[bytes], np.ndarray, np.ndarray, list[tuple[str, ...]]]:
        rows = np.full(len(mentions), -1, dtype=np.int64)
        with_file = [i for i, mention in enumerate(mentions) if mention.image is not None]
        warnings: list[tuple[str, ...]] = [()] * len(mentions)
        shapes, pixels = self.encoder.shapes, self.encoder.pixels
        if pixels is None or not with_file:
            for i in with_file:
                warnings[i] = (f"{mentions[i].image}: not read: the run uses no pictures",)
            no_global = np.zeros((0, shapes.d_image), np.float16)
            return (
                rows,
                [],
                no_global,
                np.zeros((0, shapes.n_p, shapes.d_patch), np.float16),
                warnings,
            )
        with quiet_pillow(), ThreadPoolExecutor(self.config.decode_threads) as threads:
            jobs = [
                threads.submit(_load, Path(str(mentions[i].image)), pixels, self.config.resize)
                for i in with_file
            ]
            read = [job.result() for job in jobs]
        pictures = [loaded for _, loaded in read]
        unit = Unit("images", 0, len(pictures))
        encoded = encode_image_unit(self.encoder, pictures, unit, self.config.batch_images)
        parts = {name: values for name, _, values in encoded.parts}
        for place, i in enumerate(with_file):
            if pictures[place].reason is None:
                rows[i] = place
            else:
                warnings[i] = (f"{mentions[i].image}: not readable: {pictures[place].reason}",)
        keys = [key for key, _ in read]
        return rows, keys, parts["images/global"], parts["images/local"], warnings


def open_mention_encoder(
    store: FeatureStore, config: ExtractConfig, root: Path, images: bool, lexical: bool, hint: str
) -> MentionEncoder:
    """The encoder that made `store`, checked by the hash of its weights and by every setting.

    Parameters
    ----------
    config: `extract` of the parameters; `dtype: auto` takes the store's precision.
    root: the project's folder.
    images, lexical: whether pictures and names' TF-IDF rows are needed.
    hint: the command that makes the store again.

    Raises
    ------
    CheckpointError: the encoder is not here.
    StoreError: another encoder, or other settings, than those that made the store.
    """
    config = _own_encoder(store, config, root)
    checkpoints = find_checkpoints(config, root)
    said = store.fingerprint.fields
    dtype = str(said.get("dtype")) if config.dtype == "auto" else config.dtype
    asked = fingerprint_of(str(said.get("records")), checkpoints, config, dtype)
    store.fingerprint.require_equal(
        Fingerprint(asked.fields),
        store.path,
        f"link with what made the store (--set extract.KEY=VALUE), or make it again: {hint}",
    )
    needed = Checkpoints(checkpoints.text, checkpoints.image if images else None)
    encoder = open_encoder(needed, config, resolve_device(config.device), DTYPES[dtype])
    return MentionEncoder(
        encoder,
        Tokenizer(checkpoints.text, config.max_tokens),
        config,
        _lexicon(store) if lexical else None,
        _name_words(store) if lexical and "words/idf" in store else None,
    )


def _own_encoder(store: FeatureStore, config: ExtractConfig, root: Path) -> ExtractConfig:
    """`config` with the encoder that the store names.

    Where the store's folder is not here (it was made on another machine) and the parameters name
    one that is, that one stands in; its hash is compared all the same.
    """
    text, image = store.attributes["text_encoder"], store.attributes["image_encoder"]
    moved = (root / config.text_encoder).is_dir() and not (root / text).is_dir()
    if moved or config.text_encoder == text:
        return config
    image = "none" if image is None else "same" if image == text else image
    own = {"text_encoder": text, "image_encoder": image, "revision": None}
    return config.model_copy(update=own)


def _lexicon(store: FeatureStore) -> Lexicon:
    terms, idf = store["lexical/terms"], store["lexical/idf"]
    low, high = store.attributes["lexical_ngrams"]
    return Lexicon.from_bytes(terms.slice(0, len(terms)), idf.slice(0, len(idf)), (low, high))


def _name_words(store: FeatureStore) -> NameWords:
    terms, idf = store["words/terms"], store["words/idf"]
    return NameWords.from_bytes(terms.slice(0, len(terms)), idf.slice(0, len(idf)))


def _load(path: Path, pixels: Pixels, resize: str) -> tuple[bytes, Loaded]:
    """The hash of the file's bytes, and its pixels or the reason why there are none."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        return b"", Loaded(None, getattr(error, "strerror", None) or str(error))
    key = hashlib.blake2b(data, digest_size=16).digest()
    try:
        return key, Loaded(decode(data, pixels.size, resize))
    except PictureError as error:
        return key, Loaded(None, str(error))
