"""What a batch of mentions or entities carries into the heads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import scipy.sparse as sp
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Features of n mentions or n entities, padded to the batch's longest text.

    Parameters
    ----------
    text_global: shape: (n, d_t). Global text t.
    text_local: shape: (n, n_t, d_t'). Text tokens T; rows past a text's end are zero.
    text_mask: shape: (n, n_t), bool. True on real tokens.
    image_global: shape: (n, d) or None without a vision unit. Global image v; zero where absent.
    image_local: shape: (n, n_p, d') or None. Patches V; zero where absent.
    has_image: shape: (n,), bool.
    lexical: SciPy CSR of shape (n, vocabulary), rows of unit length, or None.
    words: SciPy CSR of shape (n, words of names) or None: which of them a mention's sentence
        contains, or each word's share of an entity's name.
    text_frozen: shape: (n, d_t) or None. Global text as the encoder gave it, where an adapter has
        changed `text_global` and the matcher wants both.
    """

    text_global: Tensor
    text_local: Tensor
    text_mask: Tensor
    has_image: Tensor
    image_global: Tensor | None = None
    image_local: Tensor | None = None
    lexical: sp.csr_array | None = None
    words: sp.csr_array | None = None
    text_frozen: Tensor | None = None

    def __len__(self) -> int:
        return self.text_global.shape[0]

    def with_images(self, image_global: Tensor, image_local: Tensor) -> Features:
        return replace(self, image_global=image_global, image_local=image_local)

    def with_texts(self, text_global: Tensor, text_local: Tensor) -> Features:
        return replace(self, text_global=text_global, text_local=text_local)
