"""Requests that wait at the same time are linked together, by one thread.

The encoder and the heads take many mentions in little more time than one, and a tokenizer is no
thread's own while another one calls it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # which would import torch
    from stages.linking.api import Linker, Mention
    from stages.linking.result import Linked

MENTIONS = 32
"""Linked together, and of one request: a large one leaves room for others between its parts."""


@dataclass(frozen=True)
class _Part:
    mentions: Sequence[Mention]
    top: int
    found: Future[list[Linked]] = field(default_factory=Future)


class Batches:
    """A linker for many threads, from `begin` to `end`."""

    def __init__(self, linker: Linker) -> None:
        self._linker = linker
        self._waiting: queue.SimpleQueue[_Part | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._work, name="linker", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Nothing is linked any more, and what waits is cancelled."""
        assert self._thread is not None
        self._waiting.put(None)
        self._thread.join()

    def submit(self, mentions: Sequence[Mention], top: int) -> Future[list[Linked]]:
        """The `top` entities of at most MENTIONS mentions; cancelled, they are left out."""
        part = _Part(mentions, top)
        self._waiting.put(part)
        return part.found

    def _work(self) -> None:
        for batch in self._batches():
            running = [part for part in batch if part.found.set_running_or_notify_cancel()]
            try:
                self._link(running)
            except Exception as error:
                if len(running) == 1:
                    running[0].found.set_exception(error)
                    continue
                for part in running:  # one of them is to blame, and only that one shall pay
                    try:
                        self._link([part])
                    except Exception as own:
                        part.found.set_exception(own)

    def _link(self, parts: Sequence[_Part]) -> None:
        if not parts:
            return
        mentions = [mention for part in parts for mention in part.mentions]
        linked = list(self._linker.link(mentions, max(part.top for part in parts)))
        at = 0
        for part in parts:
            own = linked[at : at + len(part.mentions)]
            at += len(own)
            part.found.set_result([one.first(part.top) for one in own])

    def _batches(self) -> Iterator[list[_Part]]:
        """What waits, together, until `end`."""
        kept: _Part | None = None
        while True:
            part = kept or self._waiting.get()
            kept, batch, size = None, [], 0
            while part is not None:
                batch.append(part)
                size += len(part.mentions)
                try:
                    part = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if part is not None and size + len(part.mentions) > MENTIONS:
                    kept = part
                    break
            else:
                for left in batch:
                    left.found.cancel()
                while not self._waiting.empty():
                    if (left_part := self._waiting.get()) is not None:
                        left_part.found.cancel()
                return
            yield batch
