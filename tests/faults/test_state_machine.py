"""Any order of operations on a store, against dictionaries of what it ought to hold.

Writers of several stores write units in any order, are killed and resume; stores are finished,
replaced while others read them, updated with rows of the older one, exported and loaded, damaged
and repaired. Whatever was done before, a reader sees the rows of one store, whole.
"""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from cache import build as module
from cache.build import Build, Overtaken, building, recover
from cache.check import chunk_bytes, damages, expected_nodes, write_file
from cache.errors import StoreError
from cache.exchange import export_hdf5, load_hdf5
from cache.fingerprint import Fingerprint
from cache.layout import ArraySpec
from cache.reader import FeatureStore
from tests.faults.trees import scratch
from tests.support.small_stores import tree

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

EXAMPLES = int(os.environ.get("FAULTS_EXAMPLES", "150"))
CHUNK_ROWS = 3
Arrays = dict[str, np.ndarray]


@dataclass
class Made:
    """A store in the making, as a dictionary: its rows, and which units are on the disk."""

    seed: int
    arrays: Arrays
    older: FeatureStore | None
    """Of which some rows are copied."""
    done: set[str] = field(default_factory=set)
    writers: list[Writer] = field(default_factory=list)
    swept: bool = False

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint({"seed": self.seed})

    @property
    def specs(self) -> list[ArraySpec]:
        return [ArraySpec(n, a.shape, a.dtype.name, CHUNK_ROWS) for n, a in self.arrays.items()]

    @property
    def units(self) -> dict[str, tuple[str, int, int]]:
        """By name: an array and its rows."""
        found = {}
        for name, rows in self.arrays.items():
            for lo in range(0, len(rows), CHUNK_ROWS):
                found[f"{name}:{lo}"] = (name, lo, min(lo + CHUNK_ROWS, len(rows)))
        return found

    def rows_of(self, unit: str) -> np.ndarray:
        """As a command would have them: copied from the older store where that has them."""
        name, lo, hi = self.units[unit]
        rows = self.arrays[name][lo:hi].copy()
        if self.older is not None and name in self.older and name == "texts/global":
            there = self.older[name].slice(0, len(self.older[name]))
            for place, row in enumerate(rows):
                same = np.flatnonzero((there == row).all(axis=1))
                if len(same):
                    rows[place] = self.older[name].gather(same[:1])[0]
        return rows


@dataclass(eq=False)
class Writer:
    """A process that makes a store."""

    made: Made
    build: Build
    alive: bool = True


@dataclass
class Reader:
    store: FeatureStore
    arrays: Arrays


def arrays_of(seed: int, rows: int) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        "texts/global": random.integers(-9, 9, (rows, 2)).astype(np.float16),
        "ids": random.integers(0, 256, 2 * rows + 1).astype(np.uint8),
        "none": np.zeros((0, 3), np.int64),
    }


class Stores(RuleBasedStateMachine):
    """One target, with whatever is made for it and whoever reads it."""

    made = Bundle("made")
    writers = Bundle("writers")
    readers = Bundle("readers")

    @initialize()
    def begin(self) -> None:
        self.pause, module._PAUSE = module._PAUSE, 0  # nobody else moves a store
        self.root = Path(scratch())
        self.partial, self.target = self.root / "partial", self.root / "features.zarr"
        self.there: Made | None = None
        self.trees: dict[int, dict[str, bytes]] = {}
        self.every: list[Made] = []
        self.seeds = 0

    # Making

    def _new(self, arrays: Arrays, older: FeatureStore | None) -> Made:
        self.seeds += 1
        made = Made(self.seeds, arrays, older)
        self.every.append(made)
        return made

    @rule(target=made, rows=st.integers(1, 8))
    def create(self, rows: int) -> Made:
        return self._new(arrays_of(self.seeds + 1, rows), None)

    @precondition(lambda self: self.there is not None)
    @rule(target=made, more=st.integers(0, 4), turned=st.booleans())
    def update(self, more: int, turned: bool) -> Made:
        """Rows of the finished store in another order, and some new ones."""
        assert self.there is not None
        arrays = dict(self.there.arrays)
        old = arrays["texts/global"][:: -1 if turned else 1]
        arrays["texts/global"] = np.concatenate([old, np.full((more, 2), 50 + more, np.float16)])
        return self._new(arrays, FeatureStore.open(self.target))

    @rule(target=writers, made=made)
    def join(self, made: Made) -> Any:
        """A process begins the store, or resumes it."""
        if made.swept or made is self.there:
            return multiple()
        context = building(
            self.target, self.partial, f"w-{made.seed}", made.fingerprint, made.specs
        )
        build = context.__enter__()  # what is behind it is lost with the process
        for unit in made.units:
            assert build.done(unit) == (unit in made.done)
        made.writers.append(Writer(made, build))
        return made.writers[-1]

    @rule(target=made, rows=st.integers(1, 8), update=st.booleans(), random=st.randoms())
    def replace(self, rows: int, update: bool, random: Random) -> Made:
        """From nothing to its place, by two processes: what single steps seldom come to."""
        made = self.update(rows, True) if update and self.there is not None else self.create(rows)
        writers = [self.join(made), self.join(made)]
        units = list(made.units)
        random.shuffle(units)
        for unit in units:
            name, lo, _ = made.units[unit]
            random.choice(writers).build.write(unit, [(name, lo, made.rows_of(unit))])
        made.done = set(units)
        random.choice(writers).build.finish(list(made.units), {"seed": made.seed})
        self._took_place(made)
        return made

    @rule(target=made, rows=st.integers(2, 8), choice=st.integers(0, 10**6), torn=st.booleans())
    def interrupt(self, rows: int, choice: int, torn: bool) -> Made:
        """Begun, cut off, and resumed; others may finish it."""
        made = self.create(rows)
        self.write(self.join(made), choice, 1 + choice % 4)
        self.power_cut(made, choice, torn)
        self.join(made)
        return made

    @rule(target=writers, writer=writers)
    def hand_over(self, writer: Writer) -> Any:
        """The build goes to another process."""
        if not writer.alive:
            return multiple()
        made = writer.made
        made.writers.append(Writer(made, pickle.loads(pickle.dumps(writer.build))))
        return made.writers[-1]

    @rule(writer=writers, choice=st.integers(0, 99), many=st.integers(1, 9))
    def write(self, writer: Writer, choice: int, many: int) -> None:
        if not writer.alive:
            return
        names = list(writer.made.units)
        for step in range(min(many, len(names))):
            unit = names[(choice + step) % len(names)]
            name, lo, _ = writer.made.units[unit]
            part = (name, lo, writer.made.rows_of(unit))
            if self._works(writer, lambda part=part, unit=unit: writer.build.write(unit, [part])):
                writer.made.done.add(unit)
                assert writer.build.done(unit)

    @rule(writer=writers)
    def finish(self, writer: Writer) -> None:
        if not writer.alive:
            return
        made, names = writer.made, list(writer.made.units)
        if not made.swept and made is not self.there and made.done != set(names):
            with pytest.raises(StoreError, match="not written"):
                writer.build.finish(names, {"seed": made.seed})
        elif self._works(writer, lambda: writer.build.finish(names, {"seed": made.seed})):
            self._took_place(made)

    def _works(self, writer: Writer, call: Any) -> bool:
        """Whether a call does what it says, as it must unless the store was finished or swept."""
        made = writer.made
        if made is self.there:
            try:
                call()
            except Overtaken:
                return False
            return False
        if made.swept:
            with pytest.raises(StoreError, match="removed while the store was made"):
                call()
            return False
        call()
        return True

    def _took_place(self, made: Made) -> None:
        self.there = made
        for other in self.every:
            if other is not made:
                other.swept = True
                other.done.clear()
        self.trees[made.seed] = tree(self.target)

    @rule(writer=consumes(writers))
    def kill(self, writer: Writer) -> None:
        """Its process is gone; what it wrote stays."""
        writer.alive = False

    @rule(made=made, choice=st.integers(0, 10**6), torn=st.booleans())
    def power_cut(self, made: Made, choice: int, torn: bool) -> None:
        """All processes end; a unit's rows, or the end of a ledger, never reached the disk."""
        for writer in (writer for every in self.every for writer in every.writers):
            writer.alive = False
        if not made.done or made.swept or made is self.there:
            return
        (work,) = (self.partial / f"w-{made.seed}").iterdir()
        unit = sorted(made.done)[choice % len(made.done)]
        left = sorted(made.units.keys() - made.done)
        if torn and left:
            (ledger, *_) = sorted((work / "ledgers").iterdir())
            lines = ledger.read_bytes().splitlines()
            line = next(line for line in lines if f'"{unit}"'.encode() in line)
            torn_line = line.replace(f'"{unit}"'.encode(), f'"{left[0]}"'.encode())
            ledger.write_bytes(ledger.read_bytes() + b"\n" + torn_line + b"\n")
            return
        name, lo, _ = made.units[unit]
        spec = next(spec for spec in made.specs if spec.name == name)
        path = work / "features.zarr" / spec.key(lo // CHUNK_ROWS)
        data = bytearray(path.read_bytes())
        data[choice % len(data)] ^= 1
        path.write_bytes(data)
        made.done.discard(unit)

    # Reading

    @precondition(lambda self: self.there is not None)
    @rule(target=readers)
    def open(self) -> Reader:
        assert self.there is not None
        return Reader(FeatureStore.open(self.target, self.there.fingerprint), self.there.arrays)

    @rule(reader=readers, rows=st.lists(st.integers(0, 99), max_size=9), lo=st.integers(0, 99))
    def read(self, reader: Reader, rows: list[int], lo: int) -> None:
        """Whatever stands at its path by now."""
        for name, array in reader.arrays.items():
            n = len(array)
            wanted = np.array([row % n for row in rows] if n else [], np.int64)
            np.testing.assert_array_equal(reader.store[name].gather(wanted), array[wanted])
            start = lo % (n + 1)
            np.testing.assert_array_equal(reader.store[name].slice(start, n), array[start:])

    @rule(reader=consumes(readers))
    def close(self, reader: Reader) -> None:
        """Nobody holds it any more."""
        del reader.store

    @rule()
    def look(self) -> None:
        """As every command does before it opens the store."""
        recover(self.partial, self.target)

    # Copies and damage

    @precondition(lambda self: self.there is not None)
    @rule()
    def export_and_load(self) -> None:
        assert self.there is not None
        elsewhere = self.root / "elsewhere"
        export_hdf5(self.target, self.root / "store.h5")
        load_hdf5(self.root / "store.h5", elsewhere / "features.zarr")
        assert tree(elsewhere / "features.zarr") == self.trees[self.there.seed]
        shutil.rmtree(elsewhere)

    @precondition(lambda self: self.there is not None)
    @rule()
    def load_in_its_place(self) -> None:
        export_hdf5(self.target, self.root / "store.h5")
        load_hdf5(self.root / "store.h5", self.target)

    @precondition(lambda self: self.there is not None)
    @rule(choice=st.integers(0, 10**6), gone=st.booleans())
    def damage_and_repair(self, choice: int, gone: bool) -> None:
        """A file is changed or lost: it is named, and what makes it again makes the same bytes."""
        assert self.there is not None
        store = FeatureStore.open(self.target)
        files = sorted(name for name in self.trees[self.there.seed] if name != "zarr.json")
        name = files[choice % len(files)]
        path, data = self.target / name, bytearray(self.trees[self.there.seed][name])
        path.unlink()  # and not in place: who has it open reads on
        if not gone or not any(data):
            data[choice % len(data)] ^= 1 << choice % 8
            path.write_bytes(data)
        found = list(damages(store))
        assert [damage.path for damage in found] == [path]
        (damage,) = found
        if damage.array is None:
            again = expected_nodes(store)[name].encode()
        else:
            lo, hi = damage.rows
            rows = self.there.arrays[damage.array.name][lo:hi]
            again = chunk_bytes(damage.array, damage.chunk, rows.tobytes())
            if "behind the last row" not in damage.what:
                with pytest.raises(StoreError, match=path.name):
                    FeatureStore.open(self.target).verify()
        write_file(path, again, self.root)
        assert list(damages(FeatureStore.open(self.target))) == []

    @invariant()
    def what_is_there_is_whole(self) -> None:
        if self.there is None:
            assert not self.target.exists()
            return
        assert tree(self.target) == self.trees[self.there.seed]

    @invariant()
    def nothing_is_left_that_nobody_needs(self) -> None:
        wanted = {f"w-{made.seed}" for made in self.every if not made.swept}
        found = {path.name for path in self.partial.iterdir()} if self.partial.exists() else set()
        assert {name for name in found if not name.startswith(".replaced-")} <= wanted

    def teardown(self) -> None:
        if hasattr(self, "root"):
            module._PAUSE = self.pause
            shutil.rmtree(self.root, ignore_errors=True)


TestStores = Stores.TestCase
TestStores.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, derandomize=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
