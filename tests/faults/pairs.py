"""Two commands at once on one data set.

    for trial in trials(per_pair=3, seed=0): ...
    rows = tried(folder, trial)

Each of the two may do one of two things:

done     exit 0;
refused  exit 1, with one message that says what the other did, or what is there or not there yet.

Then nothing is damaged (`pipeline.verify`), and the commands up to the later of the two, run once
more one after the other, give the very files of a straight run and leave nothing else behind.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

from tests.faults.children import Ended, command, jitter, started
from tests.faults.trees import BUNDLE, DATASET, EXPORTED, STATES, WHOLE, call
from tests.faults.workspace import differences, digests, is_volatile

SECONDS = 240
"""That one of two commands may take, waiting for the other included."""

ARGUMENTS = {
    "prepare": (),
    "extract": (),
    "extract --force": (),
    "joint": ("--encoder", "vilt"),
    "graph": (),
    "train": ("--variant", "melov"),
    "evaluate": ("--variant", "melov"),
    "ablate": ("--grid", "grid.yaml"),
    "report": (),
    "link": ("--input", "mentions.jsonl", "--output", "linked.jsonl"),
    "export": ("--output", "tiny.h5"),
    "load": ("--input", "tiny.h5"),
    "load --force": ("--input", "tiny.h5"),
    "bundle --force": ("--variant", "melov", "--with-encoder", "--output", "bundle"),
    "verify": (),
    "verify --repair": (),
}
"""What is called at once, in the order in which one would call them."""
MAKES = {
    "prepare": "prepared", "extract": "extracted", "extract --force": "extracted",
    "load": "extracted", "load --force": "extracted", "joint": "joint", "graph": "graph",
    "train": "trained", "evaluate": "evaluated", "ablate": "ablated", "report": "reported",
    "link": "linked", "export": "exported", "bundle --force": "bundled",
}  # fmt: skip
"""The state of `trees.STATES` that a command leads to."""

STARTS = ("whole", "before", "changed")
"""Which tree a trial begins with: every output is there; none that the two make; every one is, but
of a source that has changed since."""


@dataclass(frozen=True)
class Trial:
    """later: starts this many seconds after the other one, in shares of how long that takes."""

    one: str
    other: str
    start: str
    later: float
    number: int


@dataclass(frozen=True)
class Row:
    """What became of one of the two, or of the tree afterwards."""

    trial: Trial
    what: str
    outcome: str
    said: str = ""

    @property
    def good(self) -> bool:
        return self.outcome in ("done", "refused", "whole", "same")


STORING = ("extract", "extract --force", "load", "load --force", "verify --repair")
"""Commands that write the store."""


def trials(per_pair: int, of_others: int, seed: int) -> Iterator[Trial]:
    """So many of each pair of commands, itself included.

    Args:
        of_others: of each pair neither of which writes the store.
    """
    for pair in combinations_with_replacement(ARGUMENTS, 2):
        wanted = per_pair if set(pair) & set(STORING) else of_others
        chance = random.Random(f"{seed} {pair}")
        for number in range(wanted):
            one, other = chance.sample(pair, 2)
            start = STARTS[(number + chance.randrange(3) * (wanted < 3)) % 3]
            yield Trial(one, other, start, chance.random() ** 2, number)


Straight = dict[str, dict[str, bytes]]
"""Digests of all files of a tree when a state was reached, one step after the other; files of later
states are those that were there before."""


class Pairs:
    """Runs trials in a folder of its own.

    Args:
        folder: an existing one, for copies of trees; it has the tree `changed`, whose source is
            another than that of its outputs.
        trees: the folder with a tree a state (`trees.built`).
        updated, forced: of the tree `changed`: with `extract` as an update, and with `--force`.
        early: files of a bundle that was written before its run was evaluated.
        settling: of a pair's trials every such one ends with the steps once more, which takes most
            of a trial's time; of the others it is seen that nothing is lost, damaged or mixed.
    """

    def __init__(
        self, folder: Path, trees: Path, updated: Straight, forced: Straight,
        early: dict[str, bytes], settling: int = 1,
    ) -> None:  # fmt: skip
        self.settling, self.early = settling, early
        self.folder, self.trees, self.updated, self.forced = folder, trees, updated, forced
        self.straight = {state: digests(trees / state) for state in STATES}
        self.everything = self.straight[WHOLE]
        self.seconds: dict[str, float] = {}

    def tried(self, trial: Trial) -> list[Row]:
        """Both commands, then what is left of the tree."""
        first, last = self._states(trial)
        place = self._copied(trial, first)
        try:
            rows = self._at_once(place, trial)
            rows.append(self._whole(place, trial))
            rows.append(self._good(place, trial))
            if trial.number % self.settling == 0:
                rows.append(self._settled(place, trial, first, last))
            return rows
        finally:
            shutil.rmtree(place)

    def _states(self, trial: Trial) -> tuple[int, int]:
        """The states that the earlier and the later of the two lead to, as numbers."""
        order = list(STATES)
        made = [order.index(MAKES[c]) for c in (trial.one, trial.other) if c in MAKES]
        made = made or [order.index(WHOLE)]
        return min(made), max(made)

    def _copied(self, trial: Trial, first: int) -> Path:
        place = self.folder / f"{os.getpid()}-{trial.number}"
        if trial.start == "changed":
            shutil.copytree(self.folder / "changed", place)
        else:
            state = list(STATES)[first - 1] if trial.start == "before" else WHOLE
            shutil.copytree(self.trees / state, place)
            shutil.copy(self.trees / WHOLE / EXPORTED, place)
        return place

    def _at_once(self, place: Path, trial: Trial) -> list[Row]:
        one = started(place, *called(trial.one), jitter((trial, 1)), SECONDS)
        time.sleep(trial.later * self._solo(trial.one))
        other = started(place, *called(trial.other), jitter((trial, 2)), SECONDS)
        ended = {f"1: {trial.one}": one.ended(), f"2: {trial.other}": other.ended()}
        return [Row(trial, name, *_judged(end)) for name, end in ended.items()]

    def _solo(self, name: str) -> float:
        """Seconds that a command takes on the whole tree."""
        if name not in self.seconds:
            place = self.folder / f"{os.getpid()}-solo"
            shutil.copytree(self.trees / WHOLE, place)
            begun = time.perf_counter()
            command(place, *called(name))
            self.seconds[name] = time.perf_counter() - begun
            shutil.rmtree(place)
        return self.seconds[name]

    def _whole(self, place: Path, trial: Trial) -> Row:
        """Nothing is damaged."""
        ended = command(place, *called("verify"))
        nothing = "has no records yet" in ended.stderr
        whole = not ended.defect and (ended.code == 0 or nothing)
        said = "" if whole else ended.stdout[-600:] + ended.stderr[-600:]
        return Row(trial, "verify", "whole" if whole else ended.defect or "damaged", said)

    def _good(self, place: Path, trial: Trial) -> Row:
        """Every file is one of a straight run."""
        known = [self.everything, self.updated[WHOLE], self.forced[WHOLE], self.early]
        wrong = {}
        for name, content in digests(place).items():
            reported = name.startswith("reports/") or name.endswith("/overall.json")
            partly = trial.start != "whole" and reported  # says what is missing
            if is_volatile(name) or partly or "/.partial" in name:
                continue
            if not any(files.get(name) == content for files in known):
                wrong[name] = "other content" if any(name in files for files in known) else "new"
        for name in self.everything.keys() if trial.start == "whole" else ():
            if not (place / name).exists() and not is_volatile(name):
                wrong[name] = "gone"
        return Row(trial, "tree", "wrong" if wrong else "same", _some(wrong))

    def _settled(self, place: Path, trial: Trial, first: int, last: int) -> Row:
        """The steps once more, one after the other, unless the tree is as they would leave it."""
        states = list(STATES)[first if trial.start != "changed" else 1 : last + 1]
        wanted = dict(self.straight[states[-1]])
        if trial.start == "whole":
            wanted = self.everything
        elif trial.start == "changed":
            wanted = self.forced[states[-1]]
        wanted = {**wanted, EXPORTED: wanted.get(EXPORTED, self.everything[EXPORTED])}
        if not differences(digests(place), wanted):
            return Row(trial, "again", "same", "at once")
        for step in (step for state in states for step in STATES[state]):
            more = SETTLING.get(step, ()) if trial.start == "changed" else ()
            name, arguments = call(step)
            ended = command(place, name.removeprefix("pipeline."), [*arguments, *more])
            if ended.code:
                return Row(trial, f"again: {step}", ended.defect or "fails", ended.stderr[-600:])
        left = differences(digests(place), wanted)
        return Row(trial, "again", "other result" if left else "same", _some(left))


def _some(wrong: dict[str, str]) -> str:
    return str(wrong)[:600] if wrong else ""


def called(name: str) -> tuple[str, list[str]]:
    """The step and the arguments of a name of ARGUMENTS."""
    step, *more = name.split()
    return step, ["--dataset", DATASET, *more, *ARGUMENTS[name]]


SETTLING = {"extract": ("--force",), "joint": ("--replace",)}
"""With what a step gives the same files whatever lies there."""


def _judged(ended: Ended) -> tuple[str, str]:
    text = ended.stderr[-600:]
    if ended.defect:
        return ended.defect, text
    if ended.code == 0:
        return "done", ""
    if ended.step == "verify" and "damaged" in ended.stderr:
        # Between a store and its summary an older summary is what it is said to be.
        told = re.findall(r"^  (\S.*)$", ended.stdout, re.MULTILINE)
        wrong = [line for line in told if "of another store than the present one" not in line]
        return ("false alarm", str(wrong)[:600]) if wrong else ("refused", text)
    if len(re.findall(r"^error: ", ended.stderr, re.MULTILINE)) != 1:
        return "no single message", text
    return "refused", ended.stderr.partition("error: ")[2].strip()


def change_source(root: Path) -> None:
    """Another description, one entity and one mention more, with a picture of their own."""
    raw = root / "data" / DATASET / "raw"
    entities = [json.loads(line) for line in (raw / "entities.jsonl").read_text().splitlines()]
    entities[3]["description"] += " by the sea"
    shutil.copy(raw / "pictures" / "p1.png", raw / "pictures" / "new.png")
    with (raw / "pictures" / "new.png").open("ab") as file:
        file.write(b"1")  # other bytes are another picture
    entities.append({**entities[1], "id": "E99", "name": "Eve", "image": "pictures/new.png"})
    (raw / "entities.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entities))


def run_straight(root: Path, force: bool) -> Straight:
    """Every step on the tree `root`, one after the other.

    Args:
        force: `extract` encodes everything again, instead of updating the store.
    """
    after = {}
    for state, steps in STATES.items():
        for step in steps:
            more = SETTLING.get(step, ()) if force or step == "joint" else ()
            name, arguments = call(step)
            ended = command(root, name.removeprefix("pipeline."), [*arguments, *more])
            if ended.code:
                raise RuntimeError(f"{step}: {ended.stderr}")
        after[state] = digests(root)
    return after


def run_early(root: Path) -> dict[str, bytes]:
    """A bundle of the tree `root`, whose runs are not evaluated: digests of its files."""
    name, arguments = call("bundle")
    ended = command(root, name.removeprefix("pipeline."), arguments)
    if ended.code:
        raise RuntimeError(f"bundle: {ended.stderr}")
    return {n: digest for n, digest in digests(root).items() if n.startswith(f"{BUNDLE}/")}
