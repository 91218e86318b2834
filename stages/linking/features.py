"""Features of new mentions, and how the heads read them with the store's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from stages.features.batches import SplitGraph
from stages.features.cached import StoredFeatures
from stages.features.features import Features, MentionInput


@dataclass(frozen=True)
class NewFeatures:
    """What the encoder says of n new mentions, rounded to float16 as the store's features are.

    Args:
        text_global: shape: (n, d_t).
        text_local: n arrays of shape (n_t, d_local), of real tokens.
        pictures: shape: (n,). Rows of the two below, -1 without a picture.
        image_global: shape: (pictures, d_image).
        image_local: shape: (pictures, n_p, d_patch).
        keys: the hash of each picture's bytes, 16 bytes as in `images/keys`.
        further: of further encoders, global features of each mention as `Features.further` names
            them, (n, d); zero without a picture.
        arrays: rows of the record arrays that the heads read, by name, shape: (n, columns).
        warnings: what each mention's reader should know.
    """

    text_global: np.ndarray
    text_local: Sequence[np.ndarray]
    pictures: np.ndarray
    image_global: np.ndarray
    image_local: np.ndarray
    keys: Sequence[bytes]
    arrays: Mapping[str, sp.csr_array | np.ndarray]
    warnings: Sequence[tuple[str, ...]]
    further: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.text_global)


class ExtendedFeatures:
    """The store's features and those of new mentions, whose picture rows continue the store's."""

    def __init__(self, cached: StoredFeatures, new: NewFeatures) -> None:
        self.cached, self.new = cached, new
        self.first = len(cached.store["images/global"]) if cached.uses_images else 0
        self.image_rows = np.where(new.pictures >= 0, self.first + new.pictures, -1)

    def features(self, rows: np.ndarray) -> Features:
        """The new mentions by their place, padded to the longest text of `rows`."""
        device, new = self.cached.device, self.new
        lengths = np.array([len(new.text_local[row]) for row in rows])
        mask = np.arange(lengths.max()) < lengths[:, None]
        local = np.zeros((*mask.shape, new.text_local[0].shape[1]), np.float16)
        local[mask] = np.concatenate([new.text_local[row] for row in rows])
        has_image = self.image_rows[rows] >= 0
        pictures = self.images(self.image_rows[rows]) if self.cached.uses_images else (None, None)
        return Features(
            text_global=torch.from_numpy(new.text_global[rows]).to(device).float(),
            text_local=torch.from_numpy(local).to(device).float(),
            text_mask=torch.from_numpy(mask).to(device),
            has_image=torch.from_numpy(has_image).to(device),
            image_global=pictures[0],
            image_local=pictures[1],
            arrays={name: array[rows] for name, array in new.arrays.items()},
            further={
                name: torch.from_numpy(values[rows]).to(device).float()
                for name, values in new.further.items()
            },
        )

    def input(self, rows: np.ndarray, graph: SplitGraph | None) -> MentionInput:
        """The new mentions by their place, with the neighborhood that a GCN reads of `graph`."""
        features = self.features(rows)
        return MentionInput(features) if graph is None else graph.read(features, rows, self.images)

    def images(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Global (n, d) and local (n, n_p, d'): of the store below `first`, of the new from it on;
        zero where a row is -1."""
        is_new = rows >= self.first
        found = self.cached.images(np.where(is_new, -1, rows))
        place = torch.from_numpy(np.flatnonzero(is_new)).to(self.cached.device)
        own = rows[is_new] - self.first
        for values, new in zip(found, (self.new.image_global, self.new.image_local), strict=True):
            own_values = torch.from_numpy(new[own]).to(values)
            values[place] = own_values[:, : values.shape[1]]  # no patch where the run reads none
        return found
