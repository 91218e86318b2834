"""Columns of entities.parquet that are there only where the source says something by them.

    aliases        other names of each entity; an empty list of one that has none
    count          how often each entity is meant, or
    probability    how probable each entity is by itself

So the records of a source without them, their digest and all that is made of them stay the same.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.limits import PRIOR_COUNT

ALIASES, COUNT, PROBABILITY = "aliases", "count", "probability"
OPTIONAL = pa.schema(
    [(ALIASES, pa.list_(pa.string())), (COUNT, pa.int64()), (PROBABILITY, pa.float64())]
)


def with_optional(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """`schema`, and behind it those of the optional columns that are among `columns`."""
    return pa.schema([*schema, *(field for field in OPTIONAL if field.name in columns)])


def aliases_of(entities: pa.Table) -> list[list[str]] | None:
    """The aliases of each entity; None where no entity has any."""
    return entities[ALIASES].to_pylist() if ALIASES in entities.column_names else None


def every_name(names: Sequence[str], aliases: Sequence[Sequence[str]] | None) -> list[list[str]]:
    """Each entity's names: its own first, then its aliases, as `aliases_of` gives them."""
    if aliases is None:
        return [[name] for name in names]
    return [[name, *others] for name, others in zip(names, aliases, strict=True)]


def prior_of(entities: pa.Table) -> str | None:
    """The kind of the entities' priors, `count` or `probability`; None where there are none."""
    return next((name for name in (COUNT, PROBABILITY) if name in entities.column_names), None)


def log_prior(entities: pa.Table) -> np.ndarray | None:
    """The logarithm of each entity's prior, float32 (n, 1); None where the source says none.

    Of counts, log((count + 1) / (their sum + n)), so that no entity is impossible; of
    probabilities, log p, where those of 0 count as the smallest that is not.
    """
    if COUNT in entities.column_names:
        counts = entities[COUNT].to_numpy().astype(np.float64)
        found = np.log((counts + 1) / (counts.sum() + len(counts)))
    elif PROBABILITY in entities.column_names:
        p = entities[PROBABILITY].to_numpy()
        found = np.log(np.maximum(p, p[p > 0].min(initial=1.0)))
    else:
        return None
    column: np.ndarray = found.astype(np.float32).reshape(-1, 1)
    return column


def broken(entities: pa.Table) -> str | None:
    """What an optional column holds that it cannot, None where nothing."""
    there = [name for name in OPTIONAL.names if name in entities.column_names]
    if {COUNT, PROBABILITY} <= set(there):
        return "both a count and a probability"
    if ALIASES in there and pc.list_flatten(entities[ALIASES]).null_count:
        return f"column '{ALIASES}': a list that lacks values"
    for name, most in ((COUNT, PRIOR_COUNT), (PROBABILITY, 1)):
        if name in there:
            values = entities[name].to_numpy()
            if not ((values >= 0) & (values <= most)).all():  # NaN is neither
                return f"column '{name}': a value that is none of 0 to {most:,}"
    return None
