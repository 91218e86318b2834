"""Batches of features, gathered from the memory-mapped store."""

import logging
from collections.abc import Collection, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from cache.errors import DamagedStoreError, MelovError
from cache.reader import FeatureStore
from stages.features.features import Features
from stages.features.further import FurtherFeatures
from stages.features.names import Names
from stages.features.stored import PRIOR, log_prior, record_array, rows_of, shapes_of
from stages.further import FURTHER, further_of
from stages.paths import NIL, SPLITS

log = logging.getLogger(__name__)

ENCODED = frozenset({"tokens", "pictures", "patches"})
"""What heads may read of the encoders besides global texts; other names are record arrays', and the
entities' `prior`."""


class StoredFeatures:
    """A store's texts and pictures on a device by their own rows, whatever records they are of.

    Args:
        reads: as of `CachedFeatures`.

    Raises:
        MelovError: pictures are read, and the store has none.
    """

    def __init__(self, store: FeatureStore, reads: Collection[str], device: torch.device) -> None:
        self.store, self.device, self.reads = store, device, frozenset(reads)
        self.uses_images = bool(self.reads & {"pictures", "patches"})
        if self.uses_images and "images/global" not in store:
            raise MelovError(
                f"{store.path}: holds no picture features, and the heads compare them",
                "train on text alone (--set train.units=[text]), use a baseline of text alone, "
                "or extract with an image encoder",
            )

    def texts(self, rows: np.ndarray) -> np.ndarray:
        """Global texts, float16 (n, d_t)."""
        return self.store["texts/global"].gather(rows)

    def images(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Global (n, d) and local (n, n_p, d'), zero where a row is -1; n_p = 0 where no patch is
        read."""
        missing = rows < 0
        found = []
        for name in ("images/global", "images/local"):
            array = self.store[name]
            if name == "images/local" and "patches" not in self.reads:
                values = np.zeros((len(rows), 0, array.shape[2]), array.dtype)
            elif missing.all():  # the store may hold no picture at all
                values = np.zeros((len(rows), *array.shape[1:]), array.dtype)
            else:
                # One copy a picture: any row stands in where there is none.
                values = array.gather(np.where(missing, rows.max(), rows))
                values[missing] = 0
            found.append(self._tensor(values))
        return found[0].float(), found[1]

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.device)


class CachedFeatures(StoredFeatures):
    """A store's features as `Features` batches on a device.

    Tokens and patches keep the store's precision: they are copied once, and the heads widen them
    where they use them.

    Args:
        reads: `tokens`, `pictures`, `patches`, `prior`, names of record arrays, and further
            encoders as `further/NAME`; what is not named is left alone. Batches without tokens hold
            none, those without patches no patch of a picture.
        further: stores of further encoders by name, at least of those that are read.

    Raises:
        MelovError: the store lacks something that is read.
        DamagedStoreError: a row that is no row, or arrays that do not fit each other.
    """

    def __init__(
        self, store: FeatureStore, reads: Collection[str], device: torch.device,
        further: Mapping[str, FeatureStore] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        super().__init__(store, reads, device)
        self.shapes = shapes_of(store)
        self.tokens = store.ragged("texts/local", "texts/offsets")
        groups = ["entities", *(f"mentions/{split}" for split in mention_groups(store))]
        self.text_rows = {g: rows_of(store, f"{g}/text", "texts/global") for g in groups}
        self.image_rows = {g: rows_of(store, f"{g}/image", "images/global", -1) for g in groups}
        if len(self.tokens) != len(store["texts/global"]):
            raise DamagedStoreError(
                f"{store.path}: texts/offsets is damaged: unequal columns", store.hint
            )
        for group, rows in self.text_rows.items():
            if len(rows) != len(self.image_rows[group]):
                raise DamagedStoreError(
                    f"{store.path}: {group} is damaged: unequal columns", store.hint
                )
        self.arrays: dict[str, dict[str, Names | np.ndarray]] = {
            name: {g: record_array(store, name, g) for g in groups}
            for name in sorted(self.reads - ENCODED - {PRIOR})
            if not name.startswith(FURTHER)
        }
        records = {group: len(rows) for group, rows in self.text_rows.items()}
        self.further = [
            FurtherFeatures(name, further[name], records) for name in further_of(self.reads)
        ]
        self.mention_arrays = list(self.arrays)
        """Names of the record arrays that mentions have rows of."""
        if PRIOR in self.reads:
            if not self.has_prior:
                log.info("%s: says no priors, which the heads weigh: all alike", store.path)
            self.arrays[PRIOR] = {"entities": log_prior(store)}

    @property
    def has_prior(self) -> bool:
        """Whether the knowledge base says what its entities' priors are."""
        return f"{PRIOR}/entities" in self.store

    def n_mentions(self, split: str) -> int:
        return len(self.text_rows[f"mentions/{split}"])

    @property
    def joint_space(self) -> bool:
        """Whether global texts and pictures are in one space, as CLIP's are, so that a cosine of
        the two says something. A store made elsewhere may have CLIP's projections alone."""
        said = self.store.attributes.get("joint_space", "projections/image" in self.store)
        return bool(said) and self.shapes["d_t"] == self.shapes["d_image"]

    def entities(self, rows: np.ndarray) -> Features:
        """Entities by row of the knowledge base."""
        return self._features("entities", rows, self.image_rows["entities"][rows], None)

    def mentions(self, split: str, rows: np.ndarray, keep: np.ndarray | None = None) -> Features:
        """Mentions by row of a split, or of those without an entity (`NIL`); `keep` (mentions,)
        False takes a mention's picture away."""
        group = f"mentions/{split}"
        images = self.image_rows[group][rows]
        if keep is not None:
            images = np.where(keep[rows], images, -1)
        return self._features(group, rows, images, None if keep is None else keep[rows])

    def _features(
        self, group: str, rows: np.ndarray, images: np.ndarray, keep: np.ndarray | None
    ) -> Features:
        texts = self.text_rows[group][rows]
        local, mask = self._tokens(texts)
        image_global, image_local = self.images(images) if self.uses_images else (None, None)
        return Features(
            text_global=self._tensor(self.texts(texts)).float(),
            text_local=self._tensor(local),
            text_mask=torch.from_numpy(mask).to(self.device),
            token_rows=self._tensor(np.flatnonzero(mask)),
            has_image=torch.from_numpy(images >= 0).to(self.device),
            image_global=image_global,
            image_local=image_local,
            arrays={name: of[group][rows] for name, of in self.arrays.items() if group in of},
            further={
                name: self._tensor(values).float()
                for one in self.further
                for name, values in one.of(group, rows, keep).items()
            },
        )

    def _tokens(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if "tokens" in self.reads:
            return self.tokens.gather_padded(texts)
        none = np.zeros((len(texts), 0, self.shapes["d_local"]), np.float16)
        return none, np.zeros((len(texts), 0), bool)


def mention_groups(store: FeatureStore) -> list[str]:
    """The splits, and the mentions without an entity where the store has some."""
    return [*SPLITS, *([NIL] if f"mentions/{NIL}/text" in store else [])]
