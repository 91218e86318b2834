"""The store that lies at the target already: the one asked for, one to update, or another one."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.errors import StoreError
from cache.fingerprint import Fingerprint
from cache.reader import FeatureStore
from stages.progress import byte_progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Older:
    """What is at the target, and what is asked for in view of it.

    Args:
        asked: the fingerprint to reach; where its `dtype` was `auto`, of the precision that the
            store has, and still `auto` without a store.
        store: the finished store of the same encoder, None if there is none to use.
    """

    asked: Fingerprint
    store: FeatureStore | None

    @property
    def is_finished(self) -> bool:
        return self.store is not None and self.store.fingerprint == self.asked

    def checked(self, replace: bool) -> Older:
        """Read the store: damage that is copied would get a checksum of its own and be hidden.

        Args:
            replace: pass over a damaged store instead of raising.

        Raises:
            StoreError: an array differs from its checksum; it is named, with the command.
        """
        if self.store is None:
            return self
        try:
            with byte_progress("check the older store") as show:
                self.store.verify(show)
        except StoreError as error:
            if not self.is_finished:
                with suppress(StoreError):  # another process has updated it meanwhile
                    return Older(self.asked, FeatureStore.open(self.store.path, self.asked))
            return self.without(error, replace)
        return self

    def without(self, error: StoreError, replace: bool) -> Older:
        """The same request with no store to use; raises `error` if that is not allowed."""
        if not replace:
            raise error
        log.info("%s\n  it is rebuilt", error.message)
        return Older(self.asked, None)


def find_older(
    path: Path, asked: Fingerprint, computed: Collection[str], replace: bool, hint: str, mend: str
) -> Older:
    """Open the store at the target, if there is one.

    Args:
        asked: with the `dtype` auto, a store of any precision will do, and an update keeps to it.
        computed: fields of it that decide nothing of the features.
        replace: pass over a store that cannot be used instead of raising.
        hint, mend: what helps where it is another store, and where it is damaged.

    Raises:
        StoreError: the store was made by another encoder or with other settings (all differing
            fields are named), it is half built, or no store.
    """
    if not path.exists():
        return Older(asked, None)
    try:
        store = FeatureStore.open(path, hint=mend)
        store.require_files()
        said, wanted = store.fingerprint.fields, asked.fields
        if wanted["dtype"] == "auto":
            wanted = {**wanted, "dtype": said.get("dtype")}
        if _encoded(wanted, computed) != _encoded(said, computed):
            store.fingerprint.require_equal(Fingerprint(wanted), path, hint)
        return Older(Fingerprint(wanted), store)
    except StoreError as error:
        return Older(asked, None).without(error, replace)


def _encoded(fields: Mapping[str, Any], computed: Collection[str]) -> Fingerprint:
    """What decides the features alone."""
    return Fingerprint({name: value for name, value in fields.items() if name not in computed})
