"""Further encoders' stores for the steps that read them, checked against the records.

extract/further.json    name -> identity of its store, of those that are in use
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cache.build import recover
from cache.errors import DamagedError, DamagedStoreError, MelovError, StoreError, nearest
from cache.reader import FeatureStore
from cache.sealed import Sealed, write_sealed
from stages.datasets.records import read_digest
from stages.paths import DatasetPaths

FURTHER = "further.json"
_ENCODERS = "encoders"


def further_names(paths: DatasetPaths) -> list[str]:
    """Those that are in use, in their order; none where extraction has written no list.

    Raises:
        DamagedError: the list is not as it was written.
    """
    return list(_listed(paths))


def _listed(paths: DatasetPaths) -> dict[str, str]:
    path, again = further_index(paths), f"python -m pipeline.extract --dataset {paths.dataset}"
    try:
        content = Sealed.read(path, again).content
    except FileNotFoundError:
        return {}
    found = content.get(_ENCODERS)
    if not isinstance(found, dict) or not all(isinstance(x, str) for x in found.values()):
        raise DamagedError(f"{path}: damaged: names no encoders", again)
    return found


def further_index(paths: DatasetPaths) -> Path:
    return paths.extract / FURTHER


def list_further(paths: DatasetPaths, names: Sequence[str]) -> None:
    """Write the list of those in use, where it is another one than before.

    Raises:
        StoreError: a store of them is not there, or is damaged.
    """
    stores = {name: FeatureStore.open(paths.further_store(name)).identity for name in names}
    with suppress(DamagedError):  # it is written again
        if list(_listed(paths).items()) == list(stores.items()) and further_index(paths).exists():
            return
    further_index(paths).parent.mkdir(parents=True, exist_ok=True)
    write_sealed(further_index(paths), {_ENCODERS: stores})


def require_further(store: FeatureStore) -> str:
    """What a further encoder's store holds: `texts` or `pictures`.

    Raises:
        DamagedStoreError: its attributes and arrays are none of such a store.
    """
    about = store.attributes if isinstance(store.attributes, dict) else {}
    reads, encoder, revision = (about.get(name) for name in ("reads", "encoder", "revision"))
    array = {"texts": "texts/global", "pictures": "images/global"}.get(str(reads), "")
    named = isinstance(encoder, str) and isinstance(revision, str | None)
    if not named or array not in store or len(store[array].shape) != 2:
        what = f"{store.path}: damaged: no store of a further encoder"
        raise DamagedStoreError(what, store.hint)
    return str(reads)


def recover_further(paths: DatasetPaths) -> None:
    """Complete each finish of these stores that was killed half-way."""
    start = paths.further_partial("").name
    for work in paths.path.glob(f"{start}*"):
        recover(work, paths.further_store(work.name.removeprefix(start)))


def open_further(paths: DatasetPaths, name: str, records: str | None = None) -> FeatureStore:
    """The finished store of a further encoder, made from the records that are there now.

    Args:
        records: the digest of those that were read already.

    Raises:
        MelovError: no such encoder is in use.
        StoreError: no store, a damaged one, or one made from other records.
    """
    again = f"python -m pipeline.extract --dataset {paths.dataset}"
    names = further_names(paths)
    if name not in names:
        there = f"; in use: {', '.join(names)}" if names else "; none is in use"
        raise MelovError(
            f"{paths.path}: has no further encoder '{name}'{nearest(name, names)}{there}",
            f"{again} --set extract.text_encoders.{name}=FOLDER, or image_encoders",
        )
    path = paths.further_store(name)
    recover(paths.further_partial(name), path)
    if not path.exists():
        raise StoreError(f"{path}: no such feature store", again)
    store = FeatureStore.open(path, hint=paths.repair)
    store.require_files()
    require_further(store)
    if store.fingerprint.fields.get("records") != (records or read_digest(paths.require_records())):
        raise StoreError(f"{path}: made from other records than {paths.records} holds", again)
    return store
