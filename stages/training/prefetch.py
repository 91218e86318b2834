"""Gathers the next batch in a thread while the current one is trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")


def prefetch(load: Callable[[Key], Item], keys: Iterable[Key]) -> Iterator[Item]:
    """`load(key)` for each key in order, one ahead of the consumer."""
    with ThreadPoolExecutor(1, thread_name_prefix="gather") as pool:
        ahead = None
        for key in keys:
            coming = pool.submit(load, key)
            if ahead is not None:
                yield ahead.result()
            ahead = coming
        if ahead is not None:
            yield ahead.result()
