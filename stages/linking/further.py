"""New mentions through further encoders, prepared as extraction prepares its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from stages.config import ExtractConfig
from stages.device import DTYPES, resolve_device
from stages.encode.as_before import Made, deciding
from stages.encode.decode import quiet_pillow
from stages.encode.encoders.bert_vit import VitImages
from stages.encode.encoders.encoder import TextEncoder
from stages.encode.features import encode_pictures, encode_texts
from stages.encode.further import find_further, further_fingerprint, settings_of
from stages.encode.further_job import open_pictures, open_texts
from stages.encode.tokens import Tokenizer, alone, joined
from stages.further import of_sentence
from stages.linking.mention import NewMention
from stages.linking.pictures import load_picture


@dataclass(frozen=True)
class Found:
    """features: as `Features.further` names them; failed: why a mention's picture has none."""

    features: dict[str, np.ndarray]
    failed: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FurtherTexts:
    """One further encoder of texts."""

    name: str
    encoder: TextEncoder
    tokenizer: Tokenizer
    config: ExtractConfig

    def __call__(self, mentions: Sequence[NewMention]) -> Found:
        """Of the mentions with their sentences, and of the sentences alone, each (n, d)."""
        said = [joined(m.words, m.sentence) for m in mentions]
        said += [alone(m.words, m.sentence) for m in mentions]
        ids = self.tokenizer(said)
        order = np.argsort([len(row) for row in ids], kind="stable")  # batches pad little
        pooled, _tokens = encode_texts(
            self.encoder, [ids[i] for i in order], self.config.batch_texts, self.tokenizer.pad
        )
        both = pooled[np.argsort(order)]
        n = len(mentions)
        return Found({self.name: both[:n], of_sentence(self.name): both[n:]})


@dataclass(frozen=True)
class FurtherPictures:
    """One further encoder of pictures."""

    name: str
    encoder: VitImages
    config: ExtractConfig

    def __call__(self, mentions: Sequence[NewMention]) -> Found:
        """Of each mention's picture, (n, d); zero where there is none, or it does not decode."""
        found, failed = np.zeros((len(mentions), self.encoder.shapes.d_image), np.float16), {}
        files = {i: m.image for i, m in enumerate(mentions) if m.image is not None}
        place = {file: i for i, file in enumerate(dict.fromkeys(files.values()))}
        load = partial(load_picture, pixels=self.encoder.pixels, config=self.config)
        with quiet_pillow(), ThreadPoolExecutor(self.config.decode_threads) as threads:
            loaded = [picture for _, picture in threads.map(load, place)]
        encoded = encode_pictures(self.encoder, loaded, self.config.batch_images)
        for i, file in files.items():
            found[i] = encoded.pooled[place[file]]
            reason = encoded.reasons[place[file]]
            if reason is not None:
                failed[i] = reason
        return Found({self.name: found}, failed)


Further = FurtherTexts | FurtherPictures


def open_further_encoders(
    made: Mapping[str, Made], config: ExtractConfig, root: Path, hint: str
) -> list[Further]:
    """The further encoders that made these stores, by name, each compared with its fingerprint.

    Args:
        config: device, threads and batches; encoders of these names that have moved.
        root: folders of encoders are relative to it.
        hint: what helps where one is another than made its store.

    Raises:
        CheckpointError: an encoder is not here.
        StoreError: it is another one; the differences are named.
    """
    return [_opened(name, store, config, root, hint) for name, store in made.items()]


def _opened(name: str, made: Made, config: ExtractConfig, root: Path, hint: str) -> Further:
    said = made.fingerprint.fields
    kind, encoder = settings_of(made)
    moved = getattr(config, kind).get(name)
    if moved is not None and not (root / encoder.encoder).is_dir():
        encoder = encoder.model_copy(update={"encoder": moved.encoder, "revision": moved.revision})
    sizes = {size: said[size] for size in ("batch_texts", "batch_images") if said.get(size)}
    own = deciding(made, config).model_copy(update={kind: {name: encoder}, **sizes})
    checkpoint = find_further(own, name, root)
    dtype = str(said.get("dtype"))
    asked = further_fingerprint(str(said.get("records")), checkpoint, own, name, dtype)
    made.fingerprint.require_equal(asked, made.path, hint)
    device = resolve_device(config.device)
    if kind == "image_encoders":
        return FurtherPictures(name, open_pictures(checkpoint, device, DTYPES[dtype]), own)
    opened, tokenizer = open_texts(checkpoint, own, name, device, DTYPES[dtype])
    return FurtherTexts(name, opened, tokenizer, own)
