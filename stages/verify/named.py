"""Which records a damaged file of a store concerns."""

import numpy as np

from cache.check import Damage
from cache.errors import MelovError
from cache.reader import FeatureStore
from stages.datasets.records import Records
from stages.encode.plan import tables_of
from stages.paths import DatasetPaths


def named_by(store: FeatureStore, damage: Damage, paths: DatasetPaths) -> str:
    """` (of texts 0 to 128, such as that of entity Q5)`; empty where nothing can be said."""
    if damage.array is None:
        return ""
    kind, _, inner = damage.array.name.partition("/")
    lo, hi = damage.rows
    try:
        if kind == "texts" and inner == "local":
            lo, hi = _texts_of(store, lo, hi)
        if kind not in ("texts", "images") or hi <= lo:
            return ""
        first = _first_record(store, kind.removesuffix("s"), lo, hi, Records.load(paths.records))
    except MelovError:  # what would tell it is damaged or gone itself
        return ""
    return f" (of {kind} {lo:,} to {hi:,}{first})"


def _texts_of(store: FeatureStore, lo: int, hi: int) -> tuple[int, int]:
    """The texts whose tokens lie in these rows."""
    bounds = store["texts/offsets"]
    offsets = bounds.slice(0, len(bounds))
    starts, stops = (offsets[:-1], offsets[1:]) if offsets.ndim == 1 else offsets.T
    inside = np.flatnonzero((starts < hi) & (stops > lo))
    return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)


def _first_record(store: FeatureStore, column: str, lo: int, hi: int, records: Records) -> str:
    for group, table in tables_of(records).items():
        rows = store[f"{group}/{column}"]
        found = rows.slice(0, len(rows))
        inside = np.flatnonzero((found >= lo) & (found < hi))
        if len(inside):
            named = "entity" if group == "entities" else f"{group.partition('/')[2]} mention"
            return f", such as that of {named} {table['id'][int(inside[0])].as_py()}"
    return ""
