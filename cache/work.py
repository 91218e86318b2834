"""The folder in which a store is made: its plan, its group, its ledgers.

It holds the group `features.zarr`, `plan.json` (fingerprint and arrays) and `ledgers/` (finished
units). Rows are written straight into the chunk files. cache/finish.py has the names around it.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cache.checksum import crc32
from cache.disk import allocate, children, full_error, sync_file, telling_full, unique, write_padded
from cache.files import atomic_path
from cache.fingerprint import Fingerprint, canonical
from cache.finish import CLOSING, discard
from cache.layout import GROUP, LAYOUT_VERSION, ArraySpec, check_names
from cache.ledger import Entry, Ledger, Part
from cache.locks import locked
from cache.metadata import NODE, node_texts, store_text

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

    def absolute(self) -> WorkFolder:
        """The same folder by absolute paths; its ledger is read anew."""
        same = WorkFolder(self.home.absolute(), self.fingerprint, list(self.specs.values()))
        same._set_path(self.path.absolute())
        return same

    def place(self, name: str, start: int, rows: int, data: np.ndarray) -> None:
        """Write `data`, the bytes (uint8) of whole chunks of rows, down to the disk, and zeros
        behind the array's last row."""
        spec = self.specs[name]
        for path, size in spec.files(self.group, start, rows):
            write_padded(path, data[:size], spec.chunk_bytes)
            data = data[size:]

    def write_ledger(self, **state: Any) -> None:
        """Put the fingerprint and `state` into the group's metadata, at once; mend all other
        metadata that is not as it was laid out."""
        self._mend_nodes()
        path = self.group / NODE
        with atomic_path(path, self.path) as temporary:  # no other file may get into the group
            text = store_text({"fingerprint": self.fingerprint.fields, **state})
            temporary.write_text(text, encoding="utf-8")

    def _mend_nodes(self) -> None:
        """A power cut may have left a file empty that was never brought down to the disk."""
        for name, text in node_texts(self.specs.values()).items():
            path = self.group / name
            if not path.is_file() or path.read_bytes() != text.encode():
                logger.warning("%s: not as it was laid out; writing it again", path)
                with atomic_path(path, self.path) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            sync_file(path)

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
            sync_file(self.path / "plan.json")
            new.rename(self.home)  # onto nothing or an empty folder, or it fails
        except OSError as error:
            discard(new, partial)  # the disk has its room back
            # Where another process laid it out meanwhile, that one is resumed (if still there).
            taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST) or any(children(self.home))
            if not taken:
                raise

    def _create(self) -> None:
        for name, text in node_texts(self.specs.values()).items():
            path = self.group / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.group.mkdir(parents=True, exist_ok=True)
        for spec in self.specs.values():
            for path, _ in spec.files(self.group, 0, spec.shape[0]):
                allocate(path, spec.chunk_bytes)
        self.write_ledger(finished=False)

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
        files = list(spec.files(self.group, part.start, part.rows))
        if len(files) != len(part.crc32):
            return False
        return all(
            _is_intact(path, size, spec.chunk_bytes, crc)
            for (path, size), crc in zip(files, part.crc32, strict=True)
        )


def _is_intact(path: Path, size: int, whole: int, wanted: int) -> bool:
    """Whether a chunk file of `whole` bytes has `size` bytes of this CRC-32 and zeros behind."""
    crc, padding = 0, whole - size
    with path.open("rb") as file:
        while size and (data := file.read(min(size, _READ_BYTES))):
            size -= len(data)
            crc = crc32(np.frombuffer(data, dtype=np.uint8), crc)
        return crc == wanted and file.read() == bytes(padding)
