"""The knowledge base block by block, as the heads see it."""

from collections.abc import Iterator
from typing import Any, TypeVar

from stages.features.cached import CachedFeatures
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.side import Side
from stages.share import WHOLE, Share

E = TypeVar("E", bound=Side)


def entity_blocks(
    model: Heads[Any, E], cached: CachedFeatures, views: Views, size: int, share: Share = WHOLE
) -> Iterator[tuple[int, E]]:
    """(first view, the entities' side of the views from there on), `size` views at a time.

    Args:
        share: of the blocks, which are the same whoever takes them.
    """
    starts = range(0, len(views), size)
    for start in starts[share.of_n(len(starts))]:
        yield start, model.entities(cached.entities(views.rows[start : start + size]))
