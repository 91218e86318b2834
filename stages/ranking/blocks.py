"""The knowledge base block by block, as the heads see it."""

from collections.abc import Iterator
from typing import Any, TypeVar

from stages.features.cached import CachedFeatures
from stages.features.views import Views
from stages.heads.heads import Heads
from stages.heads.side import Side

E = TypeVar("E", bound=Side)


def entity_blocks(
    model: Heads[Any, E], cached: CachedFeatures, views: Views, size: int
) -> Iterator[tuple[int, E]]:
    """(first view, the entities' side of the views from there on), `size` views at a time."""
    for start in range(0, len(views), size):
        yield start, model.entities(cached.entities(views.rows[start : start + size]))
