"""The metadata files of a store, `zarr.json`, and the ledger inside the group's own.

They are written here and not by zarr, so that the same store has the same bytes under each version
of zarr, and a reader that finds these very bytes knows how an array lies on the disk.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from cache.errors import DamagedStoreError, StoreError, reason
from cache.fingerprint import canonical
from cache.layout import LAYOUT_VERSION, LEDGER_KEY, ArraySpec, check_names
from cache.sealed import SEAL, digest_of
from cache.strict import short

NODE = "zarr.json"
"""The metadata file of an array or a group, in its folder."""
_MOST_ROWS, _MOST_CHUNK = 2**40, 2**31
"""Rows of an array, and bytes of a chunk file, which is 64 MiB unless a single row is larger."""
_DTYPES = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)")


def array_text(spec: ArraySpec) -> str:
    """An array's metadata: uncompressed C-order chunk files, little-endian, fill value 0."""
    dtype = np.dtype(spec.dtype)
    codec: dict[str, Any] = {"name": "bytes"}
    if dtype.itemsize > 1:
        codec["configuration"] = {"endian": "little"}
    return _dump(
        {
            "shape": list(spec.shape),
            "data_type": dtype.name,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": list(spec.chunk_shape)},
            },
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": dtype.type(0).item(),
            "codecs": [codec],
            "attributes": {},
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }
    )


def group_text(attributes: Mapping[str, Any]) -> str:
    """A group's metadata."""
    return _dump({"attributes": dict(attributes), "zarr_format": 3, "node_type": "group"})


def node_texts(specs: Iterable[ArraySpec]) -> dict[str, str]:
    """Every metadata file below the store's own group: path in the group -> text."""
    texts: dict[str, str] = {}
    for spec in specs:
        for folder in list(PurePosixPath(spec.name).parents)[:-1]:
            texts[f"{folder}/{NODE}"] = group_text({})
        texts[f"{spec.name}/{NODE}"] = array_text(spec)
    return dict(sorted(texts.items()))


def store_text(ledger: Mapping[str, Any]) -> str:
    """The metadata of the store's own group: the layout's version, and `ledger` under a seal."""
    # Through `canonical`: the order in which a caller filled a dict must not show.
    content = json.loads(canonical({**ledger, "layout": LAYOUT_VERSION}))
    return group_text({LEDGER_KEY: {**content, SEAL: _seal(content)}})


def arrays_field(specs: Iterable[ArraySpec], crcs: Mapping[str, list[int]]) -> dict[str, Any]:
    """The ledger's field `arrays`: how each one lies, and the CRC-32 of the rows of each chunk."""
    return {
        spec.name: {
            "shape": list(spec.shape),
            "dtype": spec.dtype,
            "chunk_rows": spec.chunk_rows,
            "crc32": [f"{crc:08x}" for crc in crcs[spec.name]],
        }
        for spec in specs
    }


def specs_from(arrays: Mapping[str, Any]) -> dict[str, ArraySpec]:
    """The arrays that a checked field `arrays` tells of, by name."""
    return {
        name: ArraySpec(name, tuple(said["shape"]), said["dtype"], said["chunk_rows"])
        for name, said in arrays.items()
    }


def _check_arrays(arrays: Any) -> None:
    """Raises ValueError, TypeError, KeyError or OverflowError where no `arrays_field` wrote it: a
    right seal says who wrote it last, not that it can be read."""
    for name, said in arrays.items():
        shape, chunk_rows, crcs = said["shape"], said["chunk_rows"], said["crc32"]
        if not isinstance(shape, list) or not isinstance(crcs, list):
            raise ValueError(f"{name}: a shape or checksums that are no list")
        if not all(type(size) is int for size in (*shape, chunk_rows)):
            raise ValueError(f"{name}: a size that is no integer")
        if not _DTYPES.fullmatch(said["dtype"]):
            raise ValueError(f"{name}: a dtype that is not stored")
        spec = ArraySpec(name, tuple(shape), said["dtype"], chunk_rows)
        if chunk_rows != spec.chunk_rows or spec.chunk_bytes > _MOST_CHUNK:
            raise ValueError(f"{name}: no such chunk files")
        if spec.shape[0] > _MOST_ROWS or len(crcs) != spec.n_chunks:
            raise ValueError(f"{name}: not as many checksums as chunk files")
        if not all(isinstance(crc, str) for crc in crcs):
            raise ValueError(f"{name}: a checksum that is no text")
    check_names(specs_from(arrays).values())


_MAPPINGS: dict[str, type] = {
    "shapes": int, "failed_pictures": str, "without_picture": int, "record_arrays": object,
}  # fmt: skip
_TEXTS = (
    "dataset", "text_encoder", "image_encoder", "joint_encoder", "encoder", "revision", "reads",
    "further",
)  # fmt: skip
"""Attributes that are followed, where a store has them; None is none."""


def _check_attributes(attributes: Any) -> None:
    """Raises ValueError where what readers follow is of another kind than writers write."""
    if not isinstance(attributes, dict):
        raise ValueError("attributes that are no object")
    for name, kind in _MAPPINGS.items():
        said = attributes.get(name, {})
        if not isinstance(said, dict) or not all(isinstance(v, kind) for v in said.values()):
            raise ValueError(f"the attribute '{name}' is {short(said)}")
    for name in _TEXTS:
        if not isinstance(attributes.get(name), str | None):
            raise ValueError(f"the attribute '{name}' is {short(attributes[name])}, no text")


def checked_ledger(attributes: Any, where: object, hint: str | None) -> dict[str, Any]:
    """The ledger of a finished store among a group's attributes, without its seal.

    Raises:
        DamagedStoreError: there is none, or not the one that was written.
        StoreError: it is of another layout, or of a half-built store.
    """
    ledger = attributes.get(LEDGER_KEY) if isinstance(attributes, dict) else None
    if not isinstance(ledger, dict) or "layout" not in ledger:
        said = f"{where}: a Zarr group without the attribute '{LEDGER_KEY}'"
        raise DamagedStoreError(said, hint)
    content = {key: value for key, value in ledger.items() if key != SEAL}
    whole = ledger.get(SEAL) == _seal(content)
    if ledger["layout"] != LAYOUT_VERSION:
        said = f"{where}: layout version {short(ledger['layout'])}, expected {LAYOUT_VERSION}"
        if SEAL in ledger and not whole:
            raise DamagedStoreError(f"{said}; of another version, or damaged", hint)
        raise StoreError(said, hint)
    if not whole:
        said = f"{where}: damaged: the attribute '{LEDGER_KEY}' is not as written"
        raise DamagedStoreError(said, hint)
    if content.get("finished") is not True:
        raise StoreError(f"{where}: half built: its writing was interrupted", hint)
    try:
        _check_arrays(content["arrays"])
        if not isinstance(content["fingerprint"], dict) or "attributes" not in content:
            raise ValueError("no fingerprint, or no attributes")
        _check_attributes(content["attributes"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        said = f"{where}: damaged: the attribute '{LEDGER_KEY}' tells of no store: {reason(error)}"
        raise DamagedStoreError(said, hint) from None
    return content


def _seal(content: Mapping[str, Any]) -> str:
    try:
        return digest_of(canonical(content).encode())
    except (ValueError, RecursionError):  # half a surrogate pair; nesting without end
        return ""


def _dump(node: Mapping[str, Any]) -> str:
    return json.dumps(node, indent=2, ensure_ascii=False)
