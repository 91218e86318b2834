"""Damaged files of a store, made again from what the store was made from.

Metadata and small arrays follow from the records; features are encoded again, the units of work
that wrote the damaged files and no other. A file is put into place when its rows have the very
checksum that the ledger tells of, so a repaired store is the one that it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cache.check import Damage, chunk_bytes, expected_nodes, write_file
from cache.checksum import crc32, flat_bytes
from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.config import ExtractConfig
from stages.datasets.further import require_further
from stages.datasets.records import Records, read_digest
from stages.device import DTYPES, resolve_device
from stages.encode.as_before import BATCHES
from stages.encode.decode import quiet_pillow
from stages.encode.encoders.checkpoint import find_checkpoint
from stages.encode.encoders.families import find_checkpoints
from stages.encode.encoders.vilt import require_vilt
from stages.encode.feature_job import feature_job
from stages.encode.fingerprint import fingerprint_of
from stages.encode.further import find_further, further_fingerprint, settings_of
from stages.encode.further_job import further_job
from stages.encode.job import EncodingJob
from stages.encode.joint import joint_fingerprint, joint_job
from stages.encode.schedule import Work, run_units
from stages.encode.units import Encoded, Walk, WorkUnit
from stages.paths import DatasetPaths
from stages.progress import progress


@dataclass
class Repaired:
    """What was done.

    Args:
        files: that were made again.
        encoded: rows that were encoded again, by kind of their units.
        left: files that came out otherwise, with the reason.
    """

    files: list[Path] = field(default_factory=list)
    encoded: dict[str, int] = field(default_factory=dict)
    left: dict[Path, str] = field(default_factory=dict)


def mend_metadata(store: FeatureStore, damaged: Sequence[Damage], scratch: Path) -> Repaired:
    """Write damaged `zarr.json` files again; needs no encoder and no records."""
    repaired, root = Repaired(), Path(store.path)
    for name, text in expected_nodes(store).items():
        if any(damage.path == root / name for damage in damaged):
            write_file(root / name, text.encode(), scratch)
            repaired.files.append(root / name)
    return repaired


def mend_rows(
    store: FeatureStore, damaged: Sequence[Damage], job: EncodingJob, threads: int, scratch: Path
) -> Repaired:
    """Make damaged chunk files again.

    Args:
        damaged: chunk files of the store.
        job: of the same records, encoder and settings.
        scratch: a folder on the store's disk, outside of it.

    Raises:
        StoreError: the job would make other arrays.
    """
    specs = {spec.name: spec for spec in job.specs}
    if specs != store.specs:
        other = sorted(n for n in specs.keys() | store.specs if specs.get(n) != store.specs.get(n))
        raise StoreError(
            f"{store.path}: cannot be repaired: {', '.join(other)} would be of another shape or "
            "lie otherwise in files",
            store.hint,
        )
    mending = _Mending(store, damaged, scratch)
    row_of = {path: row for row, path in enumerate(job.pictures)}
    failed = {row_of[path]: why for path, why in store.attribute("failed_pictures").items()}
    for arrays in (job.arrays, job.columns(failed)):
        mending.take([(name, 0, array) for name, array in arrays.items()])
    with quiet_pillow():
        for kind, work in job.works.items():
            needed = [unit for unit in work.units if mending.needs(job.covers(unit))]
            if needed:
                _encode(kind, work, needed, mending, threads)
                mending.repaired.encoded[kind] = sum(unit.rows for unit in needed)
    return mending.repaired


class _Mending:
    """Damaged chunk files, which rows are handed to that were made again."""

    def __init__(self, store: FeatureStore, damaged: Sequence[Damage], scratch: Path) -> None:
        self._store, self._scratch = store, scratch
        self._numbers: dict[str, set[int]] = defaultdict(set)
        for damage in damaged:
            if damage.array is not None:
                self._numbers[damage.array.name].add(damage.chunk)
        self.repaired = Repaired()

    def needs(self, covered: Mapping[str, tuple[int, int]]) -> bool:
        """Whether one of these rows, [start, stop) by array, is in a damaged file."""
        return any(self._damaged(name, *rows) for name, rows in covered.items())

    def take(self, parts: Sequence[tuple[str, int, np.ndarray]]) -> None:
        """Put whole chunks of rows into the files that are damaged, if they are the right ones."""
        for name, start, rows in parts:
            spec = self._store.specs[name]
            for number in self._damaged(name, start, start + len(rows)):
                lo, hi = spec.rows_of(number)
                path = Path(self._store.path) / spec.key(number)
                data = flat_bytes(rows[lo - start : hi - start])
                if f"{crc32(data):08x}" == self._store.crcs[name][number]:
                    write_file(path, chunk_bytes(spec, number, data.tobytes()), self._scratch)
                    self.repaired.files.append(path)
                else:
                    self.repaired.left[path] = self._why()

    def _damaged(self, name: str, start: int, stop: int) -> list[int]:
        spec = self._store.specs[name]
        inside = range(start // spec.chunk_rows, -(-stop // spec.chunk_rows))
        return sorted(self._numbers[name].intersection(inside))

    def _why(self) -> str:
        if self._store.attributes.get("reused"):
            return "other last bits: the store was updated, and these rows came from an older one"
        return "other last bits: it was made on another machine, or with other threads or libraries"


def _encode(
    kind: str, work: Work[Any], needed: list[WorkUnit], mending: _Mending, threads: int
) -> None:
    done: set[str] = set()

    def write(unit: WorkUnit, encoded: Encoded) -> None:
        mending.take(encoded.parts)
        done.add(unit.name)

    with progress(sum(map(work.size, needed)), work.counted, f"encode {kind}") as bar:
        walk = Walk(needed, done.__contains__)
        run_units(work, walk, write, threads, lambda unit: bar.update(work.size(unit)))


def feature_job_again(
    paths: DatasetPaths, config: ExtractConfig, store: FeatureStore
) -> EncodingJob:
    """The job that made a store of features.

    Raises:
        MelovError: the records or the encoder are not those that it was made from, or a setting is
            another one (all differing fields are named).
    """
    dtype = str(store.fingerprint.fields.get("dtype"))
    checkpoints = find_checkpoints(config, paths.root)
    digest = read_digest(paths.require_records())
    _require(store, fingerprint_of(digest, checkpoints, config, dtype))
    device = resolve_device(config.device)
    records = Records.load(paths.records, digest)
    return feature_job(paths, records, config, checkpoints, device, DTYPES[dtype], None)


def joint_job_again(paths: DatasetPaths, config: ExtractConfig, store: FeatureStore) -> EncodingJob:
    """The job that made a store of joint vectors; raises as `feature_job_again` does."""
    dtype = str(store.fingerprint.fields.get("dtype"))
    checkpoint = find_checkpoint(store.attribute("joint_encoder"), root=paths.root)
    require_vilt(checkpoint)
    digest = read_digest(paths.require_records())
    _require(store, joint_fingerprint(digest, checkpoint, config, dtype))
    records, device = Records.load(paths.records, digest), resolve_device(config.device)
    return joint_job(paths, records, config, checkpoint, device, DTYPES[dtype])


def further_job_again(
    paths: DatasetPaths, config: ExtractConfig, store: FeatureStore
) -> EncodingJob:
    """The job that made a further encoder's store; raises as `feature_job_again` does.

    Args:
        config: what the feature store was made with: of the encoder its own store says all.
    """
    require_further(store)
    said, name = store.fingerprint.fields, Path(store.path).stem
    kind, encoder = settings_of(store)
    own = {n: said[n] for n in ("max_tokens", "resize", "exif", *BATCHES) if n in said}
    config = config.model_copy(update={**own, kind: {name: encoder}})
    checkpoint, digest = (
        find_further(config, name, paths.root),
        read_digest(paths.require_records()),
    )
    dtype = str(said.get("dtype"))
    _require(store, further_fingerprint(digest, checkpoint, config, name, dtype))
    records, device = Records.load(paths.records, digest), resolve_device(config.device)
    return further_job(paths, records, config, name, checkpoint, device, DTYPES[dtype], None)


def _require(store: FeatureStore, asked: Fingerprint) -> None:
    hint = "repair it with what made it (--set extract.KEY=VALUE), or make it again"
    store.fingerprint.require_equal(asked, store.path, hint)
