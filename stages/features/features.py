"""What a batch of mentions or entities carries into the heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from stages.features.names import NameRows, Names
from stages.features.neighborhood import Neighborhood, SharedEdges


@dataclass(frozen=True)
class Features:
    """Features of n mentions or n entities, padded to the batch's longest text.

    Args:
        text_global: shape: (n, d_t). Global text t.
        text_local: shape: (n, n_t, d_t'). Text tokens T; rows past a text's end are zero.
        text_mask: shape: (n, n_t), bool. True on real tokens.
        token_rows: int64 (tokens,), which of the n · n_t tokens are real, ascending, where it is
            known without asking the device; else None.
        image_global: shape: (n, d) or None where no picture is read. Global image v; zero where
            absent.
        image_local: shape: (n, n_p, d') or None. Patches V; zero where absent.
        has_image: shape: (n,), bool.
        arrays: record arrays by name, each CSR or dense with n rows, or `NameRows` of n entities.
        further: of further encoders, by name, global features (n, d_k), zero without a picture; of
            mentions a text encoder's of the sentence alone besides, under `NAME/sentence`.
        text_frozen: shape: (n, d_t) or None. Global text as the encoder gave it, where an adapter
            has changed `text_global` and the matcher wants both.
    """

    text_global: Tensor
    text_local: Tensor
    text_mask: Tensor
    has_image: Tensor
    image_global: Tensor | None = None
    image_local: Tensor | None = None
    arrays: Mapping[str, Names | np.ndarray] = field(default_factory=dict)
    text_frozen: Tensor | None = None
    token_rows: Tensor | None = None
    further: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.text_global.shape[0]

    @property
    def tokens(self) -> Tensor:
        """The real tokens, end to end, (tokens, d_t')."""
        rows = self.token_rows
        if rows is None:
            rows = self.text_mask.flatten().nonzero()[:, 0]
        return self.text_local.flatten(0, 1).index_select(0, rows)

    def with_images(self, image_global: Tensor, image_local: Tensor) -> Features:
        return replace(self, image_global=image_global, image_local=image_local)

    def with_texts(self, text_global: Tensor, text_local: Tensor) -> Features:
        return replace(self, text_global=text_global, text_local=text_local)

    @property
    def images(self) -> tuple[Tensor, Tensor]:
        """Global image and patches.

        Raises:
            ValueError: the batch was read without pictures.
        """
        if self.image_global is None or self.image_local is None:
            raise ValueError("the batch has no image features; for text alone use units: [text]")
        return self.image_global, self.image_local

    def csr(self, name: str) -> sp.csr_array:
        """A sparse record array.

        Raises:
            ValueError: the batch was read without it, or it is dense.
        """
        found = self.arrays.get(name)
        if not sp.issparse(found):
            raise ValueError(f"the batch has no sparse array '{name}'; it has {list(self.arrays)}")
        return found

    def names(self, name: str) -> Names:
        """A sparse record array of entities, with several rows for those that have aliases.

        Raises:
            ValueError: as `csr` does.
        """
        found = self.arrays.get(name)
        return found if isinstance(found, NameRows) else self.csr(name)


@dataclass(frozen=True)
class NodePictures:
    """The pictures of a neighborhood's nodes, each of them once: mentions of one post share theirs.

    image_global: (p, d); image_local: (p, n_p, d'). At least one row, of zeros where no node has a
        picture.
    of_node: int64 (nodes,), each node's row, -1 without a picture.
    edges: the first layer's, from nodes to pictures.
    """

    image_global: Tensor
    image_local: Tensor
    of_node: Tensor
    edges: SharedEdges


@dataclass(frozen=True)
class MentionInput:
    """A batch of mentions, and what its GCN reads: none where the variant has no GCN."""

    features: Features
    neighborhood: Neighborhood | None = None
    pictures: NodePictures | None = None
