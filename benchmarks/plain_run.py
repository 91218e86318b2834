"""The plain loop over a share of a prepared data set, and how far the store is from its rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.plain_clip import PlainFeatures, PlainProcess
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.records import Records
from stages.device import resolve_device
from stages.encode.encoders.families import find_checkpoints
from stages.encode.plan import texts_of
from stages.paths import DatasetPaths


class PlainRun:
    """The plain loop over an evenly drawn share of the pictures and the texts, and its rows."""

    def __init__(self, paths: DatasetPaths, config: ExtractConfig, share: float) -> None:
        records = Records.load(paths.records)
        rng = np.random.default_rng(0)
        texts = texts_of(records)
        self.places = [(group, row) for group in texts for row in range(len(texts[group]))]
        self.places = [
            self.places[i]
            for i in rng.permutation(len(self.places))[: round(share * len(self.places))]
        ]
        names, self.keys = (records.pictures[c].to_pylist() for c in ("path", "key"))
        chosen = rng.permutation(len(names))[: round(share * len(names))]
        self.keys = [self.keys[i] for i in chosen]
        said = find_checkpoints(config).text.preprocessor
        device = str(resolve_device(config.device))
        clip = PlainProcess(
            Path(config.text_encoder), said["image_mean"], said["image_std"], device
        )
        self.target = paths.root / "plain"
        self.target.mkdir()
        self.close = clip.close
        self._run = partial(
            clip,
            [paths.raw / names[i] for i in chosen],
            [texts[group][row] for group, row in self.places],
            self.target,
        )

    def __call__(self) -> None:
        self._run()

    def cosines(self, store: FeatureStore) -> dict[str, float]:
        """The least cosine of a stored row, token or patch to the plain loop's."""
        found = PlainFeatures.load(self.target)
        column = {group: _whole(store, f"{group}/text") for group in {g for g, _ in self.places}}
        rows = np.array([column[group][row] for group, row in self.places])
        row_of = {key.tobytes().hex(): i for i, key in enumerate(_whole(store, "images/keys"))}
        pictures = np.array([row_of[key] for key in self.keys])
        tokens, mask = store.ragged("texts/local", "texts/offsets").gather_padded(rows)
        lengths = found.lengths
        np.testing.assert_array_equal(mask.sum(1), lengths)
        return {
            "texts": _least(store["texts/global"].gather(rows), found.texts),
            "tokens": _least(tokens[mask], found.tokens[:, : mask.shape[1]][mask]),
            "pictures": _least(store["images/global"].gather(pictures), found.pictures),
            "patches": _least(store["images/local"].gather(pictures), found.patches),
        }


def _whole(store: FeatureStore, name: str) -> np.ndarray:
    return store[name].slice(0, len(store[name]))


def _least(stored: np.ndarray, plain: np.ndarray) -> float:
    a, b = stored.astype(np.float32), plain.astype(np.float32)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(((a * b).sum(-1) / norms).min())
