"""A side: what pairs need of a batch of mentions or of entities, made once.

A side is a frozen dataclass that inherits `Side`. Its fields have a row an item: tensors, `Ragged`
tensors, SciPy's CSR matrices, `NameRows`, other sides, a mapping of sides as the only field, or
None. So it can be cut to some items and turned into named arrays and back, and nobody else needs to
know what a unit keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from stages.features.names import NameRows, Names


@dataclass(frozen=True)
class Ragged:
    """Items of different lengths, end to end.

    values: shape: (total, ...); offsets: int64, shape: (n + 1,), where each item lies.
    """

    values: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: Tensor) -> Ragged:
        """Some of the items, by row."""
        first, count = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = torch.zeros(len(rows) + 1, dtype=torch.int64, device=rows.device)
        offsets[1:] = count.cumsum(0)
        of_value = (first - offsets[:-1]).repeat_interleave(count)
        place = of_value + torch.arange(len(of_value), device=rows.device)
        return Ragged(self.values[place], offsets)


Rows = Tensor | Ragged
"""A named array of a side: a row an item, or some rows an item."""


def joined(parts: Sequence[Rows]) -> Rows:
    """The same array of several sides, end to end."""
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if not ragged:
        return torch.cat([part for part in parts if not isinstance(part, Ragged)])
    lengths = torch.cat([part.offsets.diff() for part in ragged])
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return Ragged(torch.cat([part.values for part in ragged]), offsets)


@dataclass(frozen=True)
class Side:
    """See the module's docstring."""

    def take(self, rows: Tensor) -> Self:
        """Some of the items, by row."""
        return replace(self, **{name: _take(part, rows) for name, part in _parts(self)})

    def part(self, rows: slice) -> Self:
        """Consecutive items, which share their tensors' memory. Of no ragged tensors.

        Raises:
            TypeError: there are some.
        """
        return replace(self, **{name: _part(part, rows) for name, part in _parts(self)})

    def to_arrays(self) -> dict[str, Rows]:
        """Every array by the path of its field, such as `text/query`."""
        return dict(_arrays(self))

    def from_arrays(self, arrays: Mapping[str, Rows]) -> Self:
        """A side like this one (its optional fields, its matrices' widths) over other items.

        Raises:
            ValueError: indices of a matrix lead out of it.
        """
        found: Self = _like(self, arrays, "")
        return found


def _parts(side: Any) -> Iterator[tuple[str, Any]]:
    """What a side, or a mapping of sides, is made of."""
    named = (
        side if isinstance(side, Mapping) else {f.name: getattr(side, f.name) for f in fields(side)}
    )
    return ((name, part) for name, part in named.items() if part is not None)


def _named(part: Any, path: str) -> Iterator[tuple[str, Any, str]]:
    """The same, with the path of each: the one field of a side of sides adds no name of its own."""
    for name, inner in _parts(part):
        yield name, inner, path if isinstance(inner, Mapping) else f"{path}/{name}".lstrip("/")


def _arrays(part: Any, path: str = "") -> Iterator[tuple[str, Rows]]:
    if isinstance(part, Side | Mapping):
        for _, inner, at in _named(part, path):
            yield from _arrays(inner, at)
    elif isinstance(part, NameRows):
        rows, ends = part.rows, torch.from_numpy(part.rows.indptr[part.offsets]).long()
        yield f"{path}/indices", Ragged(torch.from_numpy(rows.indices), ends)
        yield f"{path}/data", Ragged(torch.from_numpy(rows.data), ends)
        lengths = torch.from_numpy(np.diff(rows.indptr)).long()  # of each name's row
        yield f"{path}/lengths", Ragged(lengths, torch.from_numpy(part.offsets))
    elif isinstance(part, sp.csr_array):
        offsets = torch.from_numpy(part.indptr).long()
        yield f"{path}/indices", Ragged(torch.from_numpy(part.indices), offsets)
        yield f"{path}/data", Ragged(torch.from_numpy(part.data), offsets)
    else:
        yield path, part


def _like(part: Any, arrays: Mapping[str, Rows], path: str) -> Any:
    if isinstance(part, Side | Mapping):
        named = {name: _like(inner, arrays, at) for name, inner, at in _named(part, path)}
        return named if isinstance(part, Mapping) else replace(part, **named)
    if isinstance(part, NameRows):
        return _names_like(part, arrays, path)
    if not isinstance(part, sp.csr_array):
        return arrays[path]
    return _matrix(arrays, path, None, part.shape[1])


def _matrix(
    arrays: Mapping[str, Rows], path: str, indptr: np.ndarray | None, width: int
) -> sp.csr_array:
    """A CSR matrix; its rows are the items unless `indptr` says otherwise."""
    indices, data = arrays[f"{path}/indices"], arrays[f"{path}/data"]
    assert isinstance(indices, Ragged)
    assert isinstance(data, Ragged)
    indptr = data.offsets.cpu().numpy() if indptr is None else indptr
    parts = (data.values.cpu().numpy(), indices.values.cpu().numpy(), indptr)
    matrix = sp.csr_array(parts, shape=(len(indptr) - 1, width))
    matrix.check_format()  # before anything follows the indices
    return matrix


def _names_like(part: NameRows, arrays: Mapping[str, Rows], path: str) -> NameRows:
    lengths, data = arrays[f"{path}/lengths"], arrays[f"{path}/data"]
    assert isinstance(lengths, Ragged)
    assert isinstance(data, Ragged)
    of_name, offsets = lengths.values.cpu().numpy(), lengths.offsets.cpu().numpy()
    indptr = np.concatenate([[0], np.cumsum(of_name)])
    if (of_name < 0).any() or not np.array_equal(indptr[offsets], data.offsets.cpu().numpy()):
        raise ValueError("lengths of names that do not add up to their entity's")
    found = NameRows(_matrix(arrays, path, indptr, part.shape[1]), offsets)
    found.check()
    return found


def _part(part: Any, rows: slice) -> Any:
    if isinstance(part, Mapping):
        return {name: side.part(rows) for name, side in part.items()}
    if isinstance(part, Side):
        return part.part(rows)
    if not isinstance(part, Tensor):
        raise TypeError(f"{type(part).__name__}: no part of it shares its memory")
    return part[rows]


def _take(part: Any, rows: Tensor) -> Any:
    if isinstance(part, Mapping):
        return {name: side.take(rows) for name, side in part.items()}
    if isinstance(part, Side | Ragged):
        return part.take(rows)
    return part[rows.cpu().numpy()] if isinstance(part, Names) else part[rows]
