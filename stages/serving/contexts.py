"""The part of a long text that a mention is read with.

Heads are trained on mentions in sentences, and the encoder reads some dozens of tokens from the
beginning on: of a document, what stands around the mention is wanted.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from itertools import pairwise

import regex

CONTEXT = 500
"""Characters up to which a text is read whole: more than any encoder's tokens hold."""

_SENTENCE_END = regex.compile(r"(?<=[.!?\u2026\u3002\uff01\uff1f\u0964\u06d4]['\")\]]*)\s+|\n+")


@dataclass(frozen=True)
class Context:
    """A part of a text, by offsets."""

    start: int
    end: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


def contexts_of(text: str, spans: list[tuple[int, int]]) -> list[Context]:
    """For each span the whole text, if it has at most CONTEXT characters; else the sentences that
    the span touches, with as many around them as fit, or what fits of one that is longer."""
    if len(text) <= CONTEXT:
        return [Context(0, len(text))] * len(spans)
    ends = [0, *(m.end() for m in _SENTENCE_END.finditer(text)), len(text)]
    sentences = [(lo, hi) for lo, hi in pairwise(ends) if lo < hi]
    starts = [lo for lo, _ in sentences]
    return [_context(text, sentences, starts, span) for span in spans]


def _context(
    text: str, sentences: list[tuple[int, int]], starts: list[int], span: tuple[int, int]
) -> Context:
    start, end = span
    first = bisect.bisect_right(starts, start) - 1
    last = bisect.bisect_left(starts, end) - 1
    lo, hi = sentences[first][0], sentences[last][1]
    if hi - lo > CONTEXT:
        return _cut(text, lo, hi, start, end)
    while True:
        before = first > 0 and hi - sentences[first - 1][0] <= CONTEXT
        after = last + 1 < len(sentences) and sentences[last + 1][1] - lo <= CONTEXT
        if not (before or after):
            return Context(lo, hi)
        if before and (not after or last - first == 0 or (start - lo) <= (hi - end)):
            first -= 1
            lo = sentences[first][0]
        else:
            last += 1
            hi = sentences[last][1]


def _cut(text: str, lo: int, hi: int, start: int, end: int) -> Context:
    """CONTEXT characters of [lo, hi) with the span in their middle, cut between words."""
    room = max(0, CONTEXT - (end - start))
    left = max(lo, min(start - room // 2, hi - CONTEXT))
    right = min(hi, max(left + CONTEXT, end))
    while lo < left < start and not text[left - 1].isspace():
        left += 1
    while end < right < hi and not text[right].isspace():
        right -= 1
    return Context(left, right)
