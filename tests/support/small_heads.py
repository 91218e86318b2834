"""Small heads, and random features for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch

from stages.features.features import Features, MentionInput, NodePictures
from stages.features.neighborhood import SharedEdges, limit_neighbors, neighborhood
from stages.heads.model import Melov
from stages.heads.settings import FurtherShape, HeadsConfig
from stages.heads.variants import VARIANTS

OPTIMIZED = [name for name, entry in VARIANTS.items() if entry.has_units]

N, N_P = 6, 4
FURTHER = {
    "letters": FurtherShape(width=11, pictures=False),
    "squares": FurtherShape(width=12, pictures=True),
}
"""Further encoders, whose features every batch has."""


def config(variant="melov", **more) -> HeadsConfig:
    sizes = {"d_t": 10, "d_local": 8, "d_image": 7, "d_patch": 9, "n_p": N_P}
    small = {"d_v": 6, "d_h": 5, "d_z": 3, "floor": 0.1, "tau_init": 0.3}
    units = more.pop("units", ("text", "vision", "cross"))
    further = {"further": FURTHER} if "further" in units else {}
    said = {**sizes, **small, **further, **more}
    return HeadsConfig(variant=variant, units=units, joint_space=False, **said)


def features(seed, n=N, missing=()) -> Features:
    """Random ones of n records, those of `missing` without a picture."""
    rng = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.randint(1, 6, (n, 1), generator=rng)
    has = torch.ones(n, dtype=torch.bool)
    has[list(missing)] = False
    return Features(
        text_global=torch.randn(n, 10, generator=rng),
        text_local=torch.randn(n, 5, 8, generator=rng) * mask[..., None],
        text_mask=mask,
        has_image=has,
        image_global=torch.randn(n, 7, generator=rng) * has[:, None],
        image_local=torch.randn(n, N_P, 9, generator=rng) * has[:, None, None],
        further={
            "letters": torch.randn(n, 11, generator=rng),
            "letters/sentence": torch.randn(n, 11, generator=rng),
            "squares": torch.randn(n, 12, generator=rng) * has[:, None],
        },
    )


def graph() -> sp.csr_array:
    a = np.eye(N, dtype=np.float32)
    a[0, 1] = a[1, 0] = 0.8
    a[2, 3] = a[3, 2] = 0.6
    a[1, 2] = a[2, 1] = 0.2  # below τ
    return limit_neighbors(sp.csr_array(a), 0)


def batch(model: Melov, x: Features, rows=None) -> MentionInput:
    rows = np.arange(len(x)) if rows is None else np.asarray(rows)
    picked = {
        name: value[rows] for name, value in vars(x).items() if isinstance(value, torch.Tensor)
    }
    mine = replace(x, **picked, further={name: of[rows] for name, of in x.further.items()})
    if not model.config.uses_graph:
        return MentionInput(mine)
    found = neighborhood(graph(), rows, model.config.gcn_layers)
    nodes = torch.from_numpy(found.nodes)
    shown = x.has_image[nodes]
    of_node = torch.where(shown, shown.cumsum(0) - 1, -1)
    pictures = (x.image_global[nodes], x.image_local[nodes])
    pictures = [of[shown] if shown.any() else of[:1] for of in pictures]
    edges = SharedEdges.of(found.blocks[0].edges, of_node.numpy(), len(pictures[0]))
    return MentionInput(mine, found, NodePictures(*pictures, of_node, edges))


def make(variant="melov", **more) -> Melov:
    torch.manual_seed(0)
    return Melov(config(variant, **more))
