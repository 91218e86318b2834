"""Linking: the best five entities of one mention, and of 32 at once, against knowledge bases of
10,000 to 1,000,000 entities; exact scores of all units, beside peers that compare one vector.

The mention's features are at hand (encoding it costs what the encoder costs), its side is made, the
training mentions that its GCN reads are gathered, and the index is in memory. The largest size has
each text of the store some nine times, with another entity's picture each time.

Peers search the entities' global texts after the matcher's layer norm, 512 numbers of the S's many:
a plain matrix product, faiss' flat index and its HNSW.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from benchmarks.compare import Mark, Result, Timing, at_most, compare
from benchmarks.made_heads import Trained, around, trained_heads
from stages.config import EvaluateConfig
from stages.features.views import Views, distinct_views
from stages.ranking.calibration import CANDIDATES
from stages.ranking.entity_sides import MadeSides
from stages.ranking.search import Search
from stages.ranking.top import top_entities

TOP = 5
MENTIONS = 24
"""Of the test split, one after the other; a time is their median."""
BATCH = 32
CHECKED = 16
"""Mentions whose five are compared with those of all scores."""
SMALL, LARGE = 10_000, 1_000_000
SHIFT = 10_007
"""Rows between the pictures of one text's entities."""
HNSW_LINKS, HNSW_AT_ONCE = 32, 64


@dataclass(frozen=True)
class Case:
    """A knowledge base of one size; texts: each view's row of the store's."""

    entities: int
    search: Search
    texts: np.ndarray


def run(full: bool, rounds: int) -> Result:
    trained = trained_heads(full)
    stored = len(trained.data.views)
    folder = Path(tempfile.mkdtemp(prefix=".link-", dir=Path.cwd()))
    try:
        built, search = _seconds(lambda: _opened(folder, trained, trained.data.views))
        loaded = min(
            _seconds(lambda: _opened(folder, trained, trained.data.views))[0] for _ in "123"
        )
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / stored
        same = _same(trained, search)
        small = around(stored, min(SMALL, stored // 2))
        texts = trained.data.cached.text_rows["entities"]
        cases = [
            Case(len(small), _opened(folder / "small", trained, small), texts[small.rows]),
            Case(stored, search, texts[trained.data.views.rows]),
            _large(folder / "large", trained, LARGE if full else 9 * stored),
        ]
        timings = _timings(trained, cases, full, rounds)
        decoded = {t.name: t.seconds for t in timings}
    finally:
        shutil.rmtree(folder)
    one = {case.entities: decoded[_name("ours, one mention", case.entities)] for case in cases}
    marks = [
        Mark("the five best of all scores", "all", f"{same} of {CHECKED}", same == CHECKED),
        at_most("an entity in the index", size / 1000, 2.5, " KB"),
        at_most(f"opening an index of {stored:,}", loaded, 2, " s"),
    ]
    if full:
        marks += [
            at_most(f"one mention, {stored:,} entities", one[stored] * 1e3, 50, " ms"),
            at_most(f"one mention, {LARGE:,} entities", one[LARGE] * 1e3, 250, " ms"),
        ]
    notes = [
        f"making the index of {stored:,}: {built:.1f} s, once",
        "what the bounds leave of a mention: " + _left(trained, search),
    ]
    return Result("link", f"the best {TOP} entities of a mention", timings, marks, notes)


def _opened(folder: Path, trained: Trained, views: Views) -> Search:
    size = EvaluateConfig().entity_rows
    return Search.opened(folder, "bench", trained.model, trained.data.cached, views, size)


def _large(folder: Path, trained: Trained, entities: int) -> Case:
    """So many entities of the stored texts and pictures, no two of the same ones but where both
    lack a picture."""
    cached = copy(trained.data.cached)
    texts, images = cached.text_rows["entities"], cached.image_rows["entities"]
    time_round, row = np.divmod(np.arange(entities), len(texts))
    cached.text_rows = {**cached.text_rows, "entities": texts[row]}
    cached.image_rows = {
        **cached.image_rows,
        "entities": images[(row + time_round * SHIFT) % len(texts)],
    }
    views = distinct_views(cached)
    size = EvaluateConfig().entity_rows
    search = Search.opened(folder, "bench", trained.model, cached, views, size)
    assert isinstance(search.sides, MadeSides)
    texts_alone = search.sides.texts
    texts_alone.text_rows, texts_alone.image_rows = cached.text_rows, cached.image_rows
    return Case(entities, search, cached.text_rows["entities"][views.rows])


@torch.inference_mode()
def _timings(trained: Trained, cases: Sequence[Case], full: bool, rounds: int) -> list[Timing]:
    found = []
    for case in cases:
        name = partial(_name, entities=case.entities)
        contenders: dict[str, Callable[[], Any]] = {
            name("ours, one mention"): _Turns(trained, case, 1),
            name(f"ours, {BATCH} mentions"): _Turns(trained, case, BATCH),
        }
        many = _Turns(trained, case, 1, CANDIDATES)
        contenders[name(f"ours, one mention, the best {CANDIDATES}")] = many
        texts = _texts(trained, case.texts)
        mention = _mention_texts(trained, MENTIONS)
        contenders[name("matrix product of global texts")] = partial(_product, texts, mention)
        flat = faiss.IndexFlatIP(texts.shape[1])
        flat.add(texts.numpy())
        contenders[name("faiss flat, global texts")] = partial(_faiss, flat, mention)
        if case.entities < LARGE:
            graph = faiss.IndexHNSWFlat(texts.shape[1], HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
            graph.add(texts.numpy())
            graph.hnsw.efSearch = HNSW_AT_ONCE
            contenders[name("faiss HNSW, global texts")] = partial(_faiss, graph, mention)
        found += [_each(t) for t in compare(contenders, rounds)]
    return found


def _name(what: str, entities: int) -> str:
    return f"{what}, {entities:,}"


def _each(timing: Timing) -> Timing:
    """Seconds of one mention, where a contender took MENTIONS of them or a batch."""
    share = 1 / BATCH if f"{BATCH} mentions" in timing.name else 1 / MENTIONS
    whole = BATCH / MENTIONS if f"{BATCH} mentions" in timing.name else 1
    return Timing(
        timing.name, timing.seconds * share, timing.ratio / whole,
        timing.ratio_min / whole, timing.ratio_max / whole,
    )  # fmt: skip


@dataclass(frozen=True)
class _Turns:
    """Links MENTIONS mentions one by one, or one batch of them."""

    trained: Trained
    case: Case
    size: int
    k: int = TOP

    @torch.inference_mode()
    def __call__(self) -> None:
        count = MENTIONS if self.size == 1 else 1
        for i in range(count):
            rows = np.arange(i * self.size, (i + 1) * self.size)
            data = self.trained.data
            side, _ = self.trained.model.mentions(data.inputs.batch("test", rows))
            self.case.search.top([side], self.k)


@torch.inference_mode()
def _texts(trained: Trained, rows: np.ndarray) -> torch.Tensor:
    """Some global texts as the matcher compares them, float32 (n, d_t)."""
    store = trained.data.cached.store
    found = []
    for lo in range(0, len(rows), 8192):
        texts = torch.from_numpy(store["texts/global"].gather(rows[lo : lo + 8192])).float()
        found.append(trained.model.matcher.ln_t(texts))
    return torch.cat(found)


@torch.inference_mode()
def _mention_texts(trained: Trained, n: int) -> torch.Tensor:
    x = trained.data.cached.mentions("test", np.arange(n)).text_global
    found: torch.Tensor = trained.model.matcher.ln_t(x)
    return found


def _product(texts: torch.Tensor, mentions: torch.Tensor) -> None:
    for mention in mentions:
        (texts @ mention).topk(TOP)


def _faiss(index: Any, mentions: torch.Tensor) -> None:
    for mention in mentions.numpy():
        index.search(mention[None], TOP)


@torch.inference_mode()
def _same(trained: Trained, search: Search) -> int:
    """Mentions whose best entities are those of all scores."""
    model, data = trained.model, trained.data
    side, _ = model.mentions(data.inputs.batch("test", np.arange(CHECKED)))
    want = top_entities(model, data.cached, data.views, [side], TOP, EvaluateConfig().entity_rows)
    found = search.top([side], TOP)
    return sum(
        [c.entity for c in one] == [c.entity for c in other]
        for one, other in zip(found, want, strict=True)
    )


@torch.inference_mode()
def _left(trained: Trained, search: Search) -> str:
    """Entities that get their attention after the first ones, by mention."""
    counts: list[int] = []
    attended = search.sides.unit

    def unit(name: str, views: np.ndarray) -> Any:
        counts.append(len(views))
        return attended(name, views)

    search.sides.unit = unit  # type: ignore[method-assign]
    of_each = []
    for i in range(MENTIONS):
        counts.clear()
        side, _ = trained.model.mentions(trained.data.inputs.batch("test", np.array([i])))
        search.top([side], TOP)
        of_each.append(sum(counts))
    return f"{statistics.median(of_each):.0f} in the median, {max(of_each)} at most"


def _seconds(call: Callable[[], Search]) -> tuple[float, Search]:
    begun = time.perf_counter()
    found = call()
    return time.perf_counter() - begun, found
