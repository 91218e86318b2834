"""New mentions through the store's own encoder, prepared as extraction prepares its records."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.device import DTYPES, resolve_device
from stages.encode.as_before import Made, as_stored, with_encoder_of
from stages.encode.decode import quiet_pillow
from stages.encode.encoders.encoder import Encoder
from stages.encode.encoders.families import family_of, find_checkpoints
from stages.encode.features import encode_pictures, encode_texts
from stages.encode.fingerprint import fingerprint_of
from stages.encode.record_arrays.registry import RecordArray, open_record_array
from stages.encode.tokens import Tokenizer, joined
from stages.linking.features import NewFeatures
from stages.linking.further import Further, FurtherPictures
from stages.linking.mention import NewMention
from stages.linking.pictures import load_picture, name_of


@dataclass(frozen=True)
class MentionEncoder:
    """Encodes mentions into the space of one store; get one from `open_mention_encoder`."""

    encoder: Encoder
    tokenizer: Tokenizer
    config: ExtractConfig
    arrays: Mapping[str, RecordArray]
    further: Sequence[Further] = ()

    def __call__(self, mentions: Sequence[NewMention]) -> NewFeatures:
        """Features of at least one mention; a picture that cannot be read is a warning."""
        text_global, text_local = self._texts(mentions)
        words = [mention.words for mention in mentions]
        sentences = [mention.sentence for mention in mentions]
        without = NewFeatures(
            text_global,
            text_local,
            pictures=np.full(len(mentions), -1, dtype=np.int64),
            image_global=np.zeros((0, self.encoder.shapes.d_image), np.float16),
            image_local=np.zeros(
                (0, self.encoder.shapes.n_p, self.encoder.shapes.d_patch), np.float16
            ),
            keys=[],
            arrays={
                name: array.of_mentions(words, sentences) for name, array in self.arrays.items()
            },
            warnings=[mention.warnings for mention in mentions],
        )
        return self._with_further(mentions, self._with_pictures(mentions, without))

    def _with_further(self, mentions: Sequence[NewMention], new: NewFeatures) -> NewFeatures:
        if not self.further:
            return new
        found, warnings = dict[str, np.ndarray](), list(new.warnings)
        for one in self.further:
            made = one(mentions)
            found |= made.features
            if self.encoder.pixels is None:  # else the first encoder's way has told of it
                for i, reason in made.failed.items():
                    image = mentions[i].image
                    assert image is not None
                    warnings[i] += (f"{name_of(image)}: not readable: {reason}",)
        return replace(new, further=found, warnings=warnings)

    def _texts(self, mentions: Sequence[NewMention]) -> tuple[np.ndarray, list[np.ndarray]]:
        """Global (n, d_t) and n arrays (n_t, d_local)."""
        ids = self.tokenizer([joined(m.words, m.sentence) for m in mentions])
        order = np.argsort([len(row) for row in ids], kind="stable")  # batches pad little
        ids = [ids[i] for i in order]
        pooled, tokens = encode_texts(
            self.encoder, ids, self.config.batch_texts, self.tokenizer.pad
        )
        local = np.split(tokens, np.cumsum([len(row) for row in ids])[:-1])
        back = np.argsort(order)
        return pooled[back], [local[i] for i in back]

    def _with_pictures(self, mentions: Sequence[NewMention], new: NewFeatures) -> NewFeatures:
        files = {i: m.image for i, m in enumerate(mentions) if m.image is not None}
        pixels, rows, warnings = self.encoder.pixels, new.pictures.copy(), list(new.warnings)
        if pixels is None or not files:
            reads = any(isinstance(one, FurtherPictures) for one in self.further)
            for i, file in files.items() if not reads else ():
                warnings[i] += (f"{name_of(file)}: not read: the run uses no pictures",)
            return replace(new, warnings=warnings)
        distinct = list(dict.fromkeys(files.values()))  # mentions of one text share its picture
        place_of = {file: place for place, file in enumerate(distinct)}
        load = partial(load_picture, pixels=pixels, config=self.config)
        with quiet_pillow(), ThreadPoolExecutor(self.config.decode_threads) as threads:
            read = list(threads.map(load, distinct))
        loaded = [picture for _, picture in read]
        found = encode_pictures(self.encoder, loaded, self.config.batch_images)
        for i, file in files.items():
            reason = found.reasons[place_of[file]]
            if reason is None:
                rows[i] = place_of[file]
            else:
                warnings[i] += (f"{name_of(file)}: not readable: {reason}",)
        return replace(
            new,
            pictures=rows,
            image_global=found.pooled,
            image_local=found.local,
            keys=[key for key, _ in read],
            warnings=warnings,
        )


def open_mention_encoder(
    store: FeatureStore,
    config: ExtractConfig,
    root: Path,
    images: bool,
    arrays: Sequence[str],
    hint: str,
) -> MentionEncoder:
    """The encoder that made `store`, checked by the hash of its weights and by every setting.

    Args:
        config: `extract` of the parameters: device, threads, and an encoder that has moved. All
            that decides a feature is the store's own.
        root: the project's folder.
        images: whether pictures are needed.
        arrays: names of the record arrays that are needed.
        hint: the command that makes the store again.

    Raises:
        CheckpointError: the encoder is not here.
        StoreError: another encoder, or other settings, than those that made the store; the store
            holds no such array.
    """
    config = as_stored(store, with_encoder_of(store, config, root))
    made = {name: open_record_array(store, name, config, hint) for name in arrays}
    again = (
        "link with the encoder that made the store (--set extract.text_encoder=FOLDER), or make it "
        f"again: {hint}"
    )
    return mention_encoder(store, config, root, images, made, again)


def mention_encoder(
    made: Made,
    config: ExtractConfig,
    root: Path,
    images: bool,
    arrays: Mapping[str, RecordArray],
    hint: str,
) -> MentionEncoder:
    """The encoder that `config` names, which must be the one that made the features.

    Args:
        config: with the settings that decided them.
        root: folders of encoders are relative to it.
        images: whether pictures are needed.
        hint: what helps where it is another one.

    Raises:
        CheckpointError: the encoder is not here.
        StoreError: it is another one; the differences are named.
    """
    checkpoints = find_checkpoints(config, root)
    said = made.fingerprint.fields
    dtype = str(said.get("dtype"))
    # New mentions stand in batches of their own anyway, of any size.
    sizes = {name: said[name] for name in ("batch_texts", "batch_images") if said.get(name)}
    asked = fingerprint_of(
        str(said.get("records")), checkpoints, config.model_copy(update=sizes), dtype
    )
    made.fingerprint.require_equal(asked, made.path, hint)
    needed = checkpoints if images else replace(checkpoints, image=None)
    # The files are those that made the store, so extraction has looked at what comes of them.
    load = family_of(checkpoints.text).open
    return MentionEncoder(
        load(needed, config, resolve_device(config.device), DTYPES[dtype]),
        Tokenizer(checkpoints.text, config.max_tokens),
        config,
        arrays,
    )
