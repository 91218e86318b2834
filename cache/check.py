"""What of a store is not as it was written, file by file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cache.chunks import MappedChunks
from cache.errors import StoreError
from cache.files import atomic_path
from cache.layout import ArraySpec
from cache.metadata import NODE, arrays_field, node_texts, store_text
from cache.reader import FeatureStore, Progress


@dataclass(frozen=True)
class Damage:
    """One file.

    Args:
        path: of the file; of an array's folder where another program rewrote it.
        what: is wrong with it.
        array: whose rows it holds; None of metadata.
        chunk: its number in the array.
    """

    path: Path
    what: str
    array: ArraySpec | None = None
    chunk: int = 0

    @property
    def rows(self) -> tuple[int, int]:
        """First and end row of the array that are in it; (0, 0) of metadata."""
        return (0, 0) if self.array is None else self.array.rows_of(self.chunk)


def ledger_text(store: FeatureStore) -> str:
    """The metadata of the store's own group, as they were written."""
    crcs = {name: [int(crc, 16) for crc in store.crcs[name]] for name in store}
    return store_text(
        {
            "fingerprint": store.fingerprint.fields,
            "finished": True,
            "arrays": arrays_field(store.specs.values(), crcs),
            "attributes": store.attributes,
        }
    )


def expected_nodes(store: FeatureStore) -> Mapping[str, str]:
    """Every metadata file of the store: path in the group -> text."""
    return {NODE: ledger_text(store), **node_texts(store.specs.values())}


def damages(store: FeatureStore, progress: Progress | None = None) -> Iterator[Damage]:
    """Read everything: metadata, rows, and the zeros behind an array's last row.

    An array that another program rewrote is compared by its rows alone.

    Args:
        store: a local one.
        progress: called with (bytes done, bytes in all).
    """
    root, done, total = Path(store.path), 0, store.nbytes()
    rewritten = _is_rewritten(store)
    if not rewritten:
        yield from _node_damages(store)
        yield from _foreign_files(store)
    for name in store:
        spec = store.specs[name]
        for number in range(spec.n_chunks):
            try:
                if rewritten:
                    store[name].chunks.chunk(number)
                else:
                    _require_file(store, spec, number)
            except StoreError as error:
                path = root / name if rewritten else root / spec.key(number)
                what = error.message.removeprefix(f"{path}: damaged: ")
                yield Damage(path, what, spec, number)
            done += spec.chunk_bytes
            if progress is not None:
                progress(min(done, total), total)


def _is_rewritten(store: FeatureStore) -> bool:
    """Whether another program wrote the metadata: no array's are as this package writes them."""
    assert store.folder is not None
    for name, text in node_texts(store.specs.values()).items():
        try:
            if store.folder.read(name) == text.encode():
                return False
        except OSError:
            return False
    return bool(store.specs)


def _node_damages(store: FeatureStore) -> Iterator[Damage]:
    assert store.folder is not None
    for name, text in expected_nodes(store).items():
        path = Path(store.path) / name
        try:
            found = store.folder.read(name)
        except OSError as error:
            yield Damage(path, error.strerror or str(error))
            continue
        if found != text.encode() and not _has_more(found):
            yield Damage(path, "not as it was written")


def _has_more(found: bytes) -> bool:
    """Whether a group's metadata were consolidated since, which zarr does in the same file."""
    try:
        node = json.loads(found)
        return isinstance(node, dict) and bool(node.get("consolidated_metadata"))
    except (ValueError, RecursionError):
        return False


def _foreign_files(store: FeatureStore) -> Iterator[Damage]:
    assert store.folder is not None
    known = set(expected_nodes(store))
    for spec in store.specs.values():
        known |= {spec.key(number) for number in range(spec.n_chunks)}
    for name in store.folder.names():
        if name not in known:
            yield Damage(Path(store.path) / name, "no file of this store")


def _require_file(store: FeatureStore, spec: ArraySpec, number: int) -> None:
    """Raises StoreError if the rows of a chunk file, or what is behind them, are damaged."""
    assert store.folder is not None
    try:
        store.folder.size(spec.key(number))
    except FileNotFoundError:
        # Readers take it for zeros, as zarr does; it was written all the same.
        raise StoreError("the file is missing") from None
    # Anew: what is mapped already may have been compared before the damage.
    chunks = MappedChunks(store.folder, spec, store.crcs[spec.name], store.hint)
    rows = chunks.chunk(number)
    if len(rows) < spec.chunk_rows:
        data = store.folder.mapped(spec.key(number), spec.chunk_bytes)
        if data[rows.nbytes :].any():
            raise StoreError("bytes behind the last row are not zero")


def write_file(path: Path, data: bytes, scratch: Path) -> None:
    """Replace a file of a finished store: who maps the older one goes on reading that.

    Args:
        scratch: a folder on the same disk, outside of the store.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, scratch) as temporary:
        temporary.write_bytes(data)


def chunk_bytes(spec: ArraySpec, number: int, rows: bytes) -> bytes:
    """A chunk file's content from its rows."""
    return rows.ljust(spec.chunk_bytes, b"\0")
