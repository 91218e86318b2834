"""Requests that wait at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from cache.errors import MelovError
from pipeline import Mention
from stages.linking.result import Linked, LinkedEntity
from stages.serving.batches import MENTIONS, Batches


class Fake:
    """Links each mention to entities that bear its words; waits where it is told to."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def link(self, mentions, top):
        words = [mention.text for mention in mentions]
        self.calls.append(words)
        self.begun.set()
        assert self.go_on.wait(30)
        if "bad" in words:
            raise MelovError("a bad mention")
        for word in words:
            entities = [LinkedEntity(r, f"{word}{r}", word, -r, {}) for r in range(top)]
            yield Linked("", word, entities, False, [], None, [])


@pytest.fixture
def linker() -> Fake:
    return Fake()


@pytest.fixture
def batches(linker):
    batches = Batches(linker)
    batches.begin()
    yield batches
    batches.end()


def held(linker: Fake, batches: Batches):
    """The linker works on one mention until it is let go, so that others wait."""
    linker.go_on.clear()
    first = batches.submit([Mention("first")], 1)
    assert linker.begun.wait(30)
    return first


def test_what_waits_is_linked_together_and_each_gets_its_own(linker, batches):
    first = held(linker, batches)
    parts = [batches.submit([Mention(f"a{i}"), Mention(f"b{i}")], 1 + i) for i in range(4)]
    linker.go_on.set()
    for i, part in enumerate(parts):
        found = part.result(30)
        assert [one.mention for one in found] == [f"a{i}", f"b{i}"]
        assert [len(one.entities) for one in found] == [1 + i, 1 + i]
    assert first.result(30)[0].mention == "first"
    assert linker.calls == [["first"], [f"{x}{i}" for i in range(4) for x in "ab"]]


def test_a_batch_has_a_limit_and_nothing_is_lost(linker, batches):
    held(linker, batches)
    sizes = [20, 20, MENTIONS, 1, 40, 2]
    parts = [
        batches.submit([Mention(f"{i}-{j}") for j in range(size)], 1)
        for i, size in enumerate(sizes)
    ]
    linker.go_on.set()
    for i, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        assert [one.mention for one in part.result(30)] == [f"{i}-{j}" for j in range(size)]
    assert [len(call) for call in linker.calls[1:]] == [20, 20, MENTIONS, 1, 40, 2]


def test_who_sent_a_bad_mention_pays_alone(linker, batches):
    held(linker, batches)
    good, bad = batches.submit([Mention("good")], 1), batches.submit([Mention("bad")], 1)
    linker.go_on.set()
    assert good.result(30)[0].mention == "good"
    with pytest.raises(MelovError, match="a bad mention"):
        bad.result(30)
    assert batches.submit([Mention("next")], 1).result(30)[0].mention == "next"


def test_who_has_gone_is_left_out(linker, batches):
    held(linker, batches)
    gone, stays = batches.submit([Mention("gone")], 1), batches.submit([Mention("stays")], 1)
    assert gone.cancel()
    linker.go_on.set()
    assert stays.result(30)[0].mention == "stays"
    assert linker.calls[1:] == [["stays"]]


def test_at_the_end_what_waits_is_cancelled(linker):
    batches = Batches(linker)
    batches.begin()
    first = held(linker, batches)
    ending = threading.Thread(target=batches.end)
    ending.start()
    while batches._waiting.empty():  # until it has asked for the end
        pass
    late = batches.submit([Mention("late")], 1)
    linker.go_on.set()
    ending.join(30)
    assert first.result(30)[0].mention == "first"
    with pytest.raises(CancelledError):
        late.result(30)
