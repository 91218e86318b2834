"""A knowledge base whose index is all there is of it: no store, and nothing is made or written.

Rows are compared with their checksums when they are read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch

from cache.errors import StoreError
from cache.reader import FeatureStore
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.matcher import UnitSides
from stages.heads.model import Melov
from stages.heads.side import Side
from stages.ranking.coded_files import Pieces
from stages.ranking.coded_index import VERSION as CODED_VERSION
from stages.ranking.coded_index import CodedIndex
from stages.ranking.content_keys import places
from stages.ranking.entity_index import VERSION, EntityIndex, require_side
from stages.ranking.entity_sides import StoredSides
from stages.ranking.search import Search, codes_of, without_encoder
from stages.ranking.top import Ranked, Scan

E = TypeVar("E", bound=Side)


@torch.inference_mode()
def stored_ranked(
    sides: Path, codes: Path, run: str, model: Heads[Any, Any], like: Side, views: Views,
    keys: np.ndarray, device: torch.device, hint: str,
) -> Ranked:  # fmt: skip
    """The knowledge base of an index of sides and, where `model` is searched, one of codes.

    Args:
        sides, codes: their folders.
        run: what the model was made from: its weights' hash.
        like: the side of any entity.
        keys: of all views, as `content_keys` gives them.
        hint: what mends it, for messages.

    Raises:
        StoreError: a piece is missing, of another run, or not as it was written.
    """
    index = stored_index(sides, run, like, len(views), device, hint)
    if model.searched is None:
        return Scan(model, views, index.size, index.blocks)
    searched, held = cast(Melov, model), StoredSides(cast(EntityIndex[UnitSides], index))
    one = codes_of(searched, cast(UnitSides, like))
    coded = stored_codes(codes, run, one, keys, device, hint)
    every = np.arange(len(views))
    records = {name: held.unit(name, every) for name in without_encoder(searched)}
    return Search(searched, held, views, coded, records)


def stored_index(
    folder: Path, run: str, like: E, views: int, device: torch.device, hint: str
) -> EntityIndex[E]:
    """What `EntityIndex.opened` wrote, of so many views; raises as `stored_ranked` does."""
    pieces, size, end = [], 1, 0
    for path in sorted(folder.glob("*.zarr")):
        piece = FeatureStore.open(path, hint=hint)
        made, hi = piece.fingerprint.fields, end + _views_from(piece, end)
        if (made.get("entity_index"), made.get("run")) != (VERSION, run) or hi == end:
            raise StoreError(f"{path}: of another index", hint)
        require_side(piece, like)
        pieces.append(piece)
        size, end = made["block"], hi
    if end != views:
        raise StoreError(f"{folder}: has {end:,} of {views:,} entities", hint)
    return EntityIndex(pieces, like, views, size, device)


def stored_codes(
    folder: Path, run: str, like: UnitSides, keys: np.ndarray, device: torch.device, hint: str
) -> CodedIndex:
    """What `CodedIndex.opened` wrote, with a row of each view; raises as `stored_ranked` does."""
    files = Pieces(folder, {"coded_index": CODED_VERSION, "run": run}, like, hint)
    pieces = [files.opened(path) for path in sorted(folder.glob("*.zarr"))]
    place = places(keys, [piece.keys for piece in pieces])
    if (place < 0).any():
        raise StoreError(f"{folder}: lacks {int((place < 0).sum()):,} entities", hint)
    blocks = [block for piece in pieces for block in files.blocks(piece, device)]
    return CodedIndex(blocks, torch.from_numpy(place).to(device), 0)


def _views_from(piece: FeatureStore, first: int) -> int:
    """How many views the piece has, where they follow on `first`; else 0."""
    made = piece.fingerprint.fields
    match made.get("views"), made.get("block"):
        case [int(lo), int(hi)], int(block) if lo == first < hi and block > 0:
            return hi - lo
    return 0
