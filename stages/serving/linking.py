"""Links what a request asks for, within the service's limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from cache.errors import MelovError
from stages.datasets.decoding.picture import PictureError, rgb
from stages.serving.batches import MENTIONS, Batches
from stages.serving.contexts import Context, contexts_of
from stages.serving.problems import ProblemError, of_melov

if TYPE_CHECKING:  # which would import torch
    from stages.linking.api import Linker, Mention
    from stages.linking.result import Linked

DECODED_AT_ONCE = 2
"""Pictures that are looked at before they are linked: a large one takes a gigabyte."""


@dataclass(frozen=True)
class Found:
    """Mentions of one text, in their order, and what each was read with."""

    linked: list[Linked]
    contexts: list[Context]


class Linking:
    """Args:
    seconds: for all of a request.
    """

    def __init__(self, linker: Linker, batches: Batches, seconds: float) -> None:
        self._linker, self._batches, self._seconds = linker, batches, seconds
        self._decoding = asyncio.Semaphore(DECODED_AT_ONCE)

    async def __call__(
        self, text: str, spans: Sequence[tuple[int, int]], picture: bytes | None, top: int,
        least: float | None,
    ) -> Found:  # fmt: skip
        """The entities of each span of `text`.

        Raises:
            ProblemError: a picture that cannot be decoded, a probability of a run that knows none,
                or no answer in time.
        """
        if least is not None and not self._linker.about.is_calibrated:
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "min_probability: no probability is known, so none can be asked for: "
                f"{self._linker.about.calibration}",
            )
        from stages.linking.api import Mention

        until = time.monotonic() + self._seconds
        if picture is not None:
            await self._require_picture(picture)
        contexts = contexts_of(text, list(spans))
        mentions = [
            Mention(
                sentence=context.of(text), start=start - context.start, end=end - context.start,
                image=picture,
            )
            for (start, end), context in zip(spans, contexts, strict=True)
        ]  # fmt: skip
        linked: list[Linked] = []
        for lo in range(0, len(mentions), MENTIONS):
            linked += await self._part(mentions[lo : lo + MENTIONS], top, until)
        return Found([one.answered(least) for one in linked], contexts)

    async def _part(self, mentions: Sequence[Mention], top: int, until: float) -> list[Linked]:
        waiting = asyncio.wrap_future(self._batches.submit(mentions, top))
        try:
            return await asyncio.wait_for(waiting, until - time.monotonic())
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"not linked within {self._seconds:g} s",
                "ask for fewer mentions at once, or try again later", headers={"Retry-After": "5"},
            ) from None  # fmt: skip
        except MelovError as error:
            raise of_melov(error) from None

    async def _require_picture(self, data: bytes) -> None:
        async with self._decoding:
            try:
                await asyncio.to_thread(rgb, data, 64)
            except PictureError as error:
                raise ProblemError(
                    HTTPStatus.UNPROCESSABLE_ENTITY, f"image: not readable: {error}"
                ) from None
