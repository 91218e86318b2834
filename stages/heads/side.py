"""A side: what pairs need of a batch of mentions or of entities, made once.

A side is a frozen dataclass that inherits `Side`. Its fields have a row an item: tensors, `Ragged`
tensors, SciPy's CSR matrices, other sides, or None; so it can be cut to some items and turned into
named arrays and back, and nobody else needs to know what a unit keeps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import scipy.sparse as sp
import torch
from torch import Tensor


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


@dataclass(frozen=True)
class Side:
    """See the module's docstring."""

    def take(self, rows: Tensor) -> Self:
        """Some of the items, by row."""
        changed = {name: _take(value, rows) for name, value in self._parts()}
        return replace(self, **changed)

    def to_arrays(self) -> dict[str, Rows]:
        """Every array by the path of its field, such as `query/q`."""
        found: dict[str, Rows] = {}
        for name, value in self._parts():
            if isinstance(value, Side):
                found |= {f"{name}/{inner}": rows for inner, rows in value.to_arrays().items()}
            elif isinstance(value, sp.csr_array):
                offsets = torch.from_numpy(value.indptr).long()
                found[f"{name}/indices"] = Ragged(torch.from_numpy(value.indices), offsets)
                found[f"{name}/data"] = Ragged(torch.from_numpy(value.data), offsets)
            else:
                found[name] = value
        return found

    def from_arrays(self, arrays: Mapping[str, Rows]) -> Self:
        """A side like this one (its optional fields, its matrices' widths) over other items."""
        changed: dict[str, Any] = {}
        for name, value in self._parts():
            if isinstance(value, Side):
                inner = {k.removeprefix(f"{name}/"): v for k, v in arrays.items()}
                changed[name] = value.from_arrays(inner)
            elif isinstance(value, sp.csr_array):
                changed[name] = _matrix(arrays, name, value.shape[1])
            else:
                changed[name] = arrays[name]
        return replace(self, **changed)

    def _parts(self) -> Iterator[tuple[str, Any]]:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                yield field.name, value


def _take(value: Any, rows: Tensor) -> Any:
    if isinstance(value, Side | Ragged):
        return value.take(rows)
    return value[rows.cpu().numpy()] if isinstance(value, sp.csr_array) else value[rows]


def _matrix(arrays: Mapping[str, Rows], name: str, columns: int) -> sp.csr_array:
    indices, data = arrays[f"{name}/indices"], arrays[f"{name}/data"]
    assert isinstance(indices, Ragged)
    assert isinstance(data, Ragged)
    parts = (data.values.cpu().numpy(), indices.values.cpu().numpy(), data.offsets.cpu().numpy())
    return sp.csr_array(parts, shape=(len(data), columns))
