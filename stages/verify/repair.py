"""Makes the damaged files of a data set's stores again, and no others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cache.check import write_file
from cache.errors import DamagedError, MelovError, StoreError
from cache.locks import working
from cache.metadata import NODE
from cache.reader import FeatureStore
from cache.sealed import Sealed
from stages.config import ExtractConfig
from stages.datasets.further import further_names
from stages.datasets.store import LEDGER, SUMMARY
from stages.encode.as_before import as_before
from stages.encode.job import EncodingJob
from stages.encode.repair import (
    Repaired,
    feature_job_again,
    further_job_again,
    joint_job_again,
    mend_metadata,
    mend_rows,
)
from stages.paths import DatasetPaths
from stages.verify.check import damages_of

Again = Callable[[DatasetPaths, ExtractConfig, FeatureStore], EncodingJob]


@dataclass(frozen=True)
class _Kind:
    """A kind of store: its lock, the copy of its ledger, what makes its job, and a command."""

    lock: str
    copy: str | None
    job: Again
    command: str


def repair(
    paths: DatasetPaths, config: ExtractConfig, said: Collection[str]
) -> dict[Path, Repaired]:
    """Repair the stores of features, of joint vectors and of further encoders; what was done, by
    store.

    Args:
        said: keys of `config` that were said for the data set; others are the feature store's own.

    Raises:
        MelovError: the records, the encoder or the settings are not those that made the store; its
            ledger is damaged, and there is no copy of it.
    """
    extract = f"python -m pipeline.extract --dataset {paths.dataset} --force"
    joint = f"python -m pipeline.joint --dataset {paths.dataset} --encoder NAME --replace"
    kinds = {
        paths.store: _Kind("store", LEDGER, feature_job_again, extract),
        paths.joint: _Kind("joint", None, joint_job_again, joint),
    }
    before = as_before(paths, config, said)
    settings = {paths.store: before, paths.joint: config}
    for name in further_names(paths):
        path = paths.further_store(name)
        kinds[path] = _Kind(f"further-{name}", None, further_job_again, extract)
        settings[path] = before
    found = {}
    for path, kind in kinds.items():
        if path.exists():
            with working(paths.lock(kind.lock), "repairs"):
                found[path] = _repaired(path, kind, paths, settings[path])
    return found


def _repaired(path: Path, kind: _Kind, paths: DatasetPaths, config: ExtractConfig) -> Repaired:
    scratch = paths.path / ".partial-repair"
    scratch.mkdir(exist_ok=True)
    try:
        try:
            store = FeatureStore.open(path, hint=kind.command)
            first = []
        except StoreError as error:
            first = [_restored_ledger(path, kind, paths, scratch, error)]
            store = FeatureStore.open(path, hint=kind.command)
        damaged = damages_of(store)
        repaired = mend_metadata(store, damaged, scratch)
        repaired.files[:0] = first
        if any(damage.array is not None for damage in damaged):
            rows = mend_rows(
                store, damaged, kind.job(paths, config, store), config.decode_threads, scratch
            )
            repaired.files += rows.files
            repaired.encoded, repaired.left = rows.encoded, rows.left
        for damage in damaged:
            if damage.path not in {*repaired.files, *repaired.left}:
                repaired.left[damage.path] = damage.what
        return repaired
    finally:
        with suppress(OSError):
            scratch.rmdir()


def _restored_ledger(
    path: Path, kind: _Kind, paths: DatasetPaths, scratch: Path, error: StoreError
) -> Path:
    """Put the copy of the ledger back, if it is this store's: nearly all files agree with it."""
    hint = f"make it again: {kind.command}"
    if kind.copy is None:
        raise StoreError(error.message, hint)
    try:
        text = Sealed.read(paths.extract / SUMMARY).bytes_of(kind.copy)
    except (OSError, DamagedError) as other:
        raise StoreError(f"{error.message}; nor is there a copy of it: {other}", hint) from None
    older = (path / NODE).read_bytes() if (path / NODE).exists() else None
    write_file(path / NODE, text, scratch)
    try:
        store = FeatureStore.open(path)
        files = sum(spec.n_chunks for spec in store.specs.values())
        if sum(damage.array is not None for damage in damages_of(store)) <= max(3, files // 20):
            return path / NODE
    except MelovError:
        pass
    if older is not None:
        write_file(path / NODE, older, scratch)
    raise StoreError(f"{error.message}; its copy in {paths.extract} is of another store", hint)
