"""The tiny data set with entities that look alike, and random heads to rank them."""

from dataclasses import replace

import numpy as np
import torch

from stages.config import EvaluateConfig
from stages.features.views import distinct_views
from stages.heads.model import Melov
from stages.ranking.rank import rank_gold
from stages.runs.dataset import Dataset
from tests.support.small_runs import run_data, small

UNITS = ("text", "vision", "cross", "lexical")
N = 28
SAME = [list(range(0, 4)), [9, 20], [11, 26, 27]]
"""Entities that are made to look alike."""


def make_alike(cached):
    """Change what the entities of SAME are cached as; returns whom each entity looks like, (N,)."""
    picked = np.arange(N)
    for first, *others in SAME:
        picked[others] = first
    for rows in (cached.text_rows, cached.image_rows):
        rows["entities"] = rows["entities"][picked]
    for groups in cached.arrays.values():
        groups["entities"] = groups["entities"][picked]
    return picked


class World:
    """The tiny data set with duplicate entities, random heads, and the scores of all pairs."""

    def __init__(self, opened, units=UNITS, **more):
        config = small(units=units, neighbor_limit=8, **more)
        dataset = Dataset.open(opened.paths)  # what is changed below is nobody else's
        self.data, self.heads = run_data(dataset, config, "melov")
        self.picked = make_alike(self.data.cached)
        self.views = distinct_views(self.data.cached)
        self.data = replace(self.data, views=self.views)
        torch.manual_seed(0)
        self.model = Melov(self.heads).eval()
        with torch.no_grad():
            for p in self.model.parameters():
                p.add_(0.3 * torch.randn_like(p))

    def sides(self, split, size):
        n = self.data.cached.n_mentions(split)
        return [
            self.model.mentions(self.data.inputs.batch(split, np.arange(i, min(i + size, n))))[0]
            for i in range(0, n, size)
        ]

    @torch.inference_mode()
    def scores(self, split):
        """Total and parts of all mentions and all entities at once; copies equal to the bit."""
        (side,) = self.sides(split, 1000)
        found = self.model.matcher.pairs(
            side, self.model.entities(self.data.cached.entities(np.arange(N)))
        )
        total = found.total.numpy()[:, self.picked]
        return total, {u: x.numpy()[:, self.picked] for u, x in found.units.items()}

    def ranks(self, split="test", rows=None, mention_rows=32, entity_rows=256, screen=True):
        gold = self.data.gold[split]
        rows = np.arange(len(gold)) if rows is None else rows
        config = EvaluateConfig(mention_rows=mention_rows, entity_rows=entity_rows, screen=screen)
        return rank_gold(self.model, self.data.inputs, self.views, split, rows, gold[rows], config)
