"""What a Ray actor does with its calls, without Ray; test_on_ray.py has the cluster."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cache.errors import MelovError
from stages.encode.schedule import Work
from stages.encode.units import Encoded, WorkUnit, units_of
from stages.encode.workers.dealing import AHEAD
from stages.encode.workers.on_ray import RayWorker
from stages.encode.workers.worker import Assignment, Done, Failed

UNITS = units_of("texts", 80, 1)


class Written(dict[str, Any]):
    """A store in the making that is not on a disk."""

    def __init__(self, *said: Any, home: Path = Path(__file__)) -> None:
        super().__init__(*said)
        self.work = SimpleNamespace(fingerprint=None, home=home)

    def done(self, name: str) -> bool:
        return name in self

    def write(self, name: str, parts: Any, note: Any = None) -> None:
        self[name] = note


def begun(encode: Any, written: Written) -> tuple[RayWorker, Any]:
    """An actor, and what its `begin` returned."""

    def opened(*_: Any) -> Mapping[str, Work[Any]]:
        return {"texts": Work(UNITS, encode, "texts")}

    actor = RayWorker()
    assignment: Any = Assignment(written, opened, 1)  # type: ignore[arg-type]
    return actor, actor.begin(assignment, "cpu", torch.get_num_threads())


def encoded(unit: WorkUnit, _: Any) -> Encoded:
    return Encoded([], unit.lo)


def test_each_call_returns_when_its_own_unit_is_done():
    written = Written()
    actor, said = begun(encoded, written)
    assert "process" in said
    with ThreadPoolExecutor(AHEAD) as calls:
        for unit, done in zip(UNITS, calls.map(actor.do, UNITS), strict=True):
            assert isinstance(done, Done)
            assert done.unit == unit
            assert written[unit.name] == unit.lo
    assert done.timing.rows == 80


def test_a_unit_is_encoded_while_the_next_one_waits_at_the_actor():
    """Else nothing would be read ahead."""
    both, written = threading.Barrier(2, timeout=30), Written()

    def encode(unit: WorkUnit, items: Any) -> Encoded:
        if unit == UNITS[0]:
            both.wait()
        return encoded(unit, items)

    actor, _ = begun(encode, written)
    with ThreadPoolExecutor(2) as calls:
        first = calls.submit(actor.do, UNITS[0])
        second = calls.submit(actor.do, UNITS[1])
        assert not first.done()
        both.wait()
        assert first.result().unit == UNITS[0]
        assert second.result().unit == UNITS[1]


def test_a_unit_that_another_one_has_done_is_passed_over():
    written = Written({UNITS[0].name: "by another"})
    actor, _ = begun(encoded, written)
    assert isinstance(actor.do(UNITS[0]), Done)
    assert written[UNITS[0].name] == "by another"


def test_what_stops_the_worker_is_what_every_call_returns():
    def encode(unit: WorkUnit, items: Any) -> Encoded:
        raise MelovError("a picture has changed", "prepare again")

    actor, _ = begun(encode, Written())
    for unit in UNITS[:2]:
        said = actor.do(unit)
        assert isinstance(said, Failed)
        assert isinstance(said.error, MelovError)
        assert "a picture has changed" in str(said.error)


def test_a_machine_without_the_projects_folder_is_named(tmp_path: Path):
    assignment: Any = Assignment(Written(home=tmp_path / "no/project"), encoded, 1)  # type: ignore[arg-type]
    said = RayWorker().begin(assignment, "cpu", torch.get_num_threads())
    assert isinstance(said, Failed)
    assert f"{tmp_path / 'no'}: not there on" in str(said.error)
    assert "share the project's folder" in str(said.error)


def test_an_encoder_that_does_not_open_is_what_the_beginning_returns():
    def opened(*_: Any) -> Any:
        raise MelovError("other files", "the same encoder everywhere")

    assignment: Any = Assignment(Written(), opened, 1)  # type: ignore[arg-type]
    said = RayWorker().begin(assignment, "cpu", torch.get_num_threads())
    assert isinstance(said, Failed)
    with pytest.raises(MelovError, match="other files"):
        raise said.error
