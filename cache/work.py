"""The folder in which a store is made: its plan, its group, its ledgers.

It holds the group `features.zarr`, `plan.json` (fingerprint and arrays) and `ledgers/` (finished
units). zarr-python writes the metadata; rows are then written straight into the chunk files, which
zarr-python would first read, and never reserves. cache/finish.py has the names around it.
"""

import errno
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BytesCodec

from cache.checksum import crc32
from cache.disk import allocate, children, full_error, telling_full, unique, write_padded
from cache.files import atomic_path
from cache.fingerprint import Fingerprint, canonical
from cache.finish import CLOSING, discard
from cache.layout import GROUP, LAYOUT_VERSION, LEDGER_KEY, ArraySpec, check_names
from cache.ledger import Entry, Ledger, Part
from cache.locks import locked

logger = logging.getLogger(__name__)

_READ_BYTES = 8 * 2**20


class WorkFolder:
    """Chunk files in the making. Holds no open file and no lock; processes may get it pickled.

    Every method raises FileNotFoundError once another process has moved the store out.

    Args:
        home: names the store in the making; the folder itself has a random name inside it, so that
            who still writes to a store that is finished cannot touch one that is begun after it.

    Raises:
        ValueError: two arrays share a name.
    """

    def __init__(self, home: Path, fingerprint: Fingerprint, specs: Sequence[ArraySpec]) -> None:
        check_names(specs)
        self.home = home
        self.fingerprint = fingerprint
        self.specs = {spec.name: spec for spec in specs}
        self.nbytes = sum(spec.n_chunks * spec.chunk_bytes for spec in specs)
        self._set_path(home / "not-laid-out")

    def open(self) -> None:
        """Resume what is there, or lay the store out; then check the finished units.

        Raises:
            StoreError: the disk has no room for all arrays.
        """
        partial = self.home.parent
        self.home.mkdir(parents=True, exist_ok=True)
        # A help: without it two may lay out at once, one of them in vain.
        with locked(self.home), telling_full(partial, "laying out the store", lambda: self.nbytes):
            while not self._found():
                self._lay_out()
        self.ledger.verify()

    def place(self, name: str, start: int, rows: int, data: np.ndarray) -> None:
        """Write `data`, the bytes (uint8) of whole chunks of rows, down to the disk."""
        spec = self.specs[name]
        for path, size in spec.files(self.group, start, rows):
            write_padded(path, data[:size], spec.chunk_bytes)
            data = data[size:]

    def write_attributes(self, **state: Any) -> None:
        """Put the layout, the fingerprint and `state` into the group's attributes, at once."""
        path = self.group / "zarr.json"
        metadata = json.loads(path.read_text(encoding="utf-8"))
        ledger = {"layout": LAYOUT_VERSION, "fingerprint": self.fingerprint.fields, **state}
        # Sorted through `canonical`: the order in which a caller filled a dict must not show.
        metadata["attributes"] = {LEDGER_KEY: json.loads(canonical(ledger))}
        with atomic_path(path, self.path) as temporary:  # no other file may get into the group
            text = json.dumps(metadata, indent=2, ensure_ascii=False)
            temporary.write_text(text, encoding="utf-8")

    def _set_path(self, path: Path) -> None:
        self.path = path
        self.group = path / GROUP
        self.ledger = Ledger(path / "ledgers", self._intact)

    def _found(self) -> bool:
        """Whether the folder is there, laid out for the very same store; anything else goes."""
        for path in children(self.home):
            if path.name.startswith(CLOSING):
                raise FileNotFoundError(errno.ENOENT, "moved out by another process", str(path))
            self._set_path(path)
            if self._fits():
                return True
            logger.warning("%s: holds no resumable work; starting over", self.home)
            discard(path, self.home.parent)
        return False

    def _fits(self) -> bool:
        try:
            plan = (self.path / "plan.json").read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
            return False
        nodes = [self.group, *(self.group / name for name in self.specs), self.ledger.folder]
        return plan == self._plan() and all(node.is_dir() for node in nodes)

    def _plan(self) -> str:
        arrays = [asdict(spec) for spec in self.specs.values()]
        fields = self.fingerprint.fields
        return canonical({"layout": LAYOUT_VERSION, "fingerprint": fields, "arrays": arrays})

    def _lay_out(self) -> None:
        """Everything under another name, with its space reserved, then renamed: all or nothing."""
        partial = self.home.parent
        new = partial / f".new-{unique()}"
        self._set_path(new / unique())
        try:
            if self.nbytes > shutil.disk_usage(partial).free:
                raise full_error(partial)
            self.ledger.folder.mkdir(parents=True)
            self._create()
            (self.path / "plan.json").write_text(self._plan(), encoding="utf-8")
            new.rename(self.home)  # onto nothing or an empty folder, or it fails
        except OSError as error:
            discard(new, partial)  # the disk has its room back
            # Where another process laid it out meanwhile, that one is resumed (if still there).
            taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST) or any(children(self.home))
            if not taken:
                raise

    def _create(self) -> None:
        root = zarr.create_group(self.group, zarr_format=3)
        for spec in self.specs.values():
            root.create_array(
                spec.name,
                shape=spec.shape,
                dtype=spec.dtype,
                chunks=spec.chunk_shape,
                chunk_key_encoding={"name": "default", "separator": "."},
                filters=None,
                compressors=None,
                serializer=BytesCodec(endian="little"),
                fill_value=0,
            )
            for path, _ in spec.files(self.group, 0, spec.shape[0]):
                allocate(path, spec.chunk_bytes)
        self.write_attributes(finished=False)

    def _intact(self, entry: Entry) -> bool:
        try:
            return all(self._part_intact(part) for part in entry.parts)
        except FileNotFoundError:
            if not self.group.exists():
                raise
            return False

    def _part_intact(self, part: Part) -> bool:
        spec = self.specs.get(part.array)
        if spec is None or part.start < 0 or part.start + part.rows > spec.shape[0]:
            return False
        crc = 0
        for path, size in spec.files(self.group, part.start, part.rows):
            with path.open("rb") as file:
                while size and (data := file.read(min(size, _READ_BYTES))):
                    size -= len(data)
                    crc = crc32(np.frombuffer(data, dtype=np.uint8), crc)
        return crc == part.crc32
