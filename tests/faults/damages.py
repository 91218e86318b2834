"""Every kind of damage to every file of every output, and what the commands make of it.

    for damage in damages_of(files, seed): ...
    rows = tried(place, damage)

After a damage each command that reads the file may do one of two things:

same     exit 0, and every file is what it was without the damage: the damaged one was not needed,
         or was made again;
refused  exit 1, with one message that names the file, or the output that it is of, and a command;
         following that command (and what it asks for in its turn) gives the undamaged tree again.

Anything else is a failure: another result in silence, a traceback, a signal, a message that names
nothing or leads nowhere. `pipeline.verify` must name every damaged file besides, but for `UNSEEN`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tests.faults.children import Ended
from tests.faults.workspace import Workspace

FLIPS, FLIPS_OF_SMALL_JSON, SMALL = 2, 4, 4096
PAGE = 4096

UNSEEN = {
    "timings.json": "how long it took; nothing depends on it",
    "picture-keys.parquet": "a cache with a checksum of its own: a damaged one is hashed again",
    "linked.jsonl": "what a user asked for; no command reads it",
    "/.partial": "unfinished work: whoever resumes it reads it against its checksums",
}
"""Files, by a part of their path, that verify is not to report, each with its reason."""


@dataclass(frozen=True)
class Damage:
    """What is done to files.

    Args:
        name: for the table, such as `bit 1234`.
        files: path in the project -> content; None removes it.
    """

    name: str
    files: dict[str, bytes | None] = field(repr=False)

    @property
    def path(self) -> str:
        """The file that it is about."""
        return next(iter(self.files))


@dataclass(frozen=True)
class Row:
    """What one command made of one damage."""

    path: str
    damage: str
    command: str
    outcome: str
    seconds: float
    said: str = ""

    @property
    def good(self) -> bool:
        return self.outcome in GOOD


GOOD = ("same", "refused", "mended", "reported", "unseen", "resumed")


def damages_of(built: dict[str, bytes], paths: Sequence[str], seed: int) -> Iterator[Damage]:
    """Every damage of these files; one that would change nothing is left out."""
    for path in paths:
        chance = random.Random(f"{seed} {path}")
        found = [*_changed(path, built[path], chance), *_swapped(path, built, chance)]
        found += _exchanged(path, built)
        for damage in found:
            if any(built[name] != content for name, content in damage.files.items()):
                yield damage


def _changed(path: str, content: bytes, chance: random.Random) -> Iterator[Damage]:
    size = len(content)
    small_json = path.endswith(".json") and size <= SMALL
    for _ in range(FLIPS_OF_SMALL_JSON if small_json else FLIPS) if size else ():
        bit = chance.randrange(8 * size)
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield Damage(f"bit {bit}", {path: bytes(flipped)})
    kept = chance.choice((0, size // 2, max(size - 1, 0)))
    yield Damage(f"cut to {kept}", {path: content[:kept]})
    page = min(PAGE, max(size // 2, 1))
    at = chance.randrange(max(size // page, 1)) * page
    zeroed = content[:at] + bytes(len(content[at : at + page])) + content[at + page :]
    yield Damage(f"zeros at {at}", {path: zeroed})
    yield Damage("removed", {path: None})
    more = chance.randbytes(chance.choice((1, 64, 4096)))
    yield Damage(f"{len(more)} bytes appended", {path: content + more})


def _swapped(path: str, built: dict[str, bytes], chance: random.Random) -> Iterator[Damage]:
    """With the likeliest other file: of the same name elsewhere, or of the same size."""
    own = PurePosixPath(path)

    def likeness(other: str) -> tuple[bool, bool, bool]:
        named = PurePosixPath(other)
        chunks = own.name.startswith("c.")
        return (
            named.name == own.name,
            len(built[other]) == len(built[path]) if chunks else named.parent == own.parent,
            named.parts[:3] == own.parts[:3],
        )

    def is_like(other: str) -> bool:
        named = PurePosixPath(other)
        alike = named.suffix == own.suffix or (own.name[:2] == named.name[:2] == "c.")
        return alike and built[other] != built[path] and named.parts[0] == own.parts[0]

    others = [other for other in built if is_like(other) and not is_raw(other)]
    if others:
        best = max(map(likeness, others))
        other = chance.choice([name for name in others if likeness(name) == best])
        yield Damage(f"swapped with {other}", {path: built[other], other: built[path]})


def _exchanged(path: str, built: dict[str, bytes]) -> Iterator[Damage]:
    """Two runs under each other's names, whole in themselves."""
    folder = PurePosixPath(path).parent
    runs = sorted({str(PurePosixPath(name).parent) for name in built if name.startswith("runs/")})
    if str(folder) in runs and path.endswith("/config.json"):
        other = runs[(runs.index(str(folder)) + 1) % len(runs)]
        names = {PurePosixPath(n).name for n in built if n.startswith((f"{folder}/", f"{other}/"))}
        files: dict[str, bytes | None] = {path: built[f"{other}/config.json"]}
        for name in names:
            files[f"{folder}/{name}"] = built.get(f"{other}/{name}")
            files[f"{other}/{name}"] = built.get(f"{folder}/{name}")
        yield Damage(f"exchanged with {other}", files)


def is_raw(path: str) -> bool:
    return "/raw/" in path or path.startswith(("clip/", "vilt/")) or "/" not in path


# What a command makes of it


def tried(
    place: Workspace, damage: Damage, commands: dict[str, tuple[str, Sequence[str]]], mend: bool
) -> list[Row]:
    """Each command on the damaged tree, then every advice that was given, if `mend`."""
    rows: list[Row] = []
    advice: dict[tuple[tuple[str, ...], ...], str] = {}

    def row(name: str, outcome: str, ended: Ended, said: str = "") -> None:
        rows.append(Row(damage.path, damage.name, name, outcome, ended.seconds, said))

    try:
        for name, (step, arguments) in commands.items():
            _inflict(place, damage)
            ended = place.run(step, arguments)
            outcome, said = _judged(place, damage, ended)
            row(name, outcome, ended, said)
            if outcome == "refused" and mend:
                advice.setdefault(tuple(map(tuple, advised(ended))), name)
            if outcome not in ("same", "refused"):
                place.restore()
        for steps, name in advice.items():
            place.restore()
            _inflict(place, damage)
            outcome, ended, said = _mended(place, damage, commands[name], steps)
            row(f"{name}, mended", outcome, ended, said)
        place.restore()
        _inflict(place, damage)
        ended = place.run("verify", _verified(damage))
        outcome, said = _reported(place, damage, ended)
        row("verify", outcome, ended, said)
    finally:
        place.restore()
    return rows


def _verified(damage: Damage) -> list[str]:
    """What verify is to read."""
    if damage.path.startswith("bundle/"):
        return ["--bundle", "bundle"]
    return ["--dataset", "tiny", "--file", "tiny.h5"]


def resumed(
    place: Workspace, damage: Damage, step: str, arguments: Sequence[str], whole: dict[str, bytes]
) -> list[Row]:
    """A command that finds its unfinished work damaged: it must give the tree `whole` all the
    same."""
    _inflict(place, damage)
    ended = place.run(step, arguments)
    left = place.changed(whole)
    outcome = ended.defect or ("resumed" if not left and ended.code == 0 else "not resumed")
    said = "" if outcome == "resumed" else f"{left} {ended.stderr[-600:]}"
    place.restore()
    return [Row(damage.path, damage.name, step, outcome, ended.seconds, said)]


def _mended(
    place: Workspace,
    damage: Damage,
    call: tuple[str, Sequence[str]],
    steps: Sequence[Sequence[str]],
) -> tuple[str, Ended, str]:  # fmt: skip
    """Do as a message says until the command that gave it is done."""
    said = []
    for _ in range(6):
        said.append(_followed(place, steps))
        ended = place.run(*call)
        left = _wrong(place, damage)
        # A report lists a run that does not fit, with the command that makes it fit again.
        steps = advised(ended) if ended.code else list(_commands(ended.stdout)) if left else []
        if not steps or ended.defect:
            break
        said.append(ended.stderr[-300:])
    if ended.code or left:
        return "not mended", ended, f"{said} {left}"
    return "mended", ended, said[0]


def _wrong(place: Workspace, damage: Damage) -> dict[str, str]:
    """Files that are neither as they were built nor as they were damaged; a few of them."""
    wrong = place.changed()
    for name, content in damage.files.items():
        if place.read(name) == content:
            wrong.pop(name, None)
    return dict(list(wrong.items())[:5])


def _inflict(place: Workspace, damage: Damage) -> None:
    for name, content in damage.files.items():
        if place.read(name) != content:
            place.write(name, content)


def _judged(place: Workspace, damage: Damage, ended: Ended) -> tuple[str, str]:
    text = ended.stderr[-600:]
    if ended.defect:
        return ended.defect, text
    wrong = _wrong(place, damage)
    if ended.step == "train":  # metrics that do not fit the weights go, and their ranks with them
        folder = str(PurePosixPath(damage.path).parent)
        for name in ("metrics.json", "ranks.npz", "probabilities.npz", "predictions.csv"):
            if wrong.get(f"{folder}/{name}") == "gone" and not place.read(f"{folder}/metrics.json"):
                del wrong[f"{folder}/{name}"]
    if wrong:
        return ("silent" if ended.code == 0 else "harm"), f"{wrong} {text}"
    if ended.code == 0:
        return "same", ""
    if len(re.findall(r"^error: ", ended.stderr, re.MULTILINE)) != 1:
        return "no single message", text
    told = ended.stdout + ended.stderr if ended.step == "verify" else ended.stderr
    if not any(name in told for path in damage.files for name in _names_of(path)):
        return "names nothing", text
    if not advised(ended):
        return "advises nothing", text
    return "refused", ""


def _names_of(path: str) -> list[str]:
    """The file, and the folders that it is in, up to the output's own."""
    own = PurePosixPath(path)
    least = 2 if path.startswith("bundle/") else 3
    return [str(own), *(str(parent) for parent in own.parents if len(parent.parts) >= least)]


def _reported(place: Workspace, damage: Damage, ended: Ended) -> tuple[str, str]:
    text = (ended.stdout + ended.stderr)[-600:]
    if ended.defect:
        return ended.defect, text
    left = place.changed(but=damage.files)
    if left:
        return "harm", str(left)
    unseen = [part for path in damage.files for part in UNSEEN if part in f"/{path}"]
    if ended.code == 0:
        return ("unseen" if unseen else "not reported"), ""
    if any(f"{path}: " in ended.stdout for path in damage.files):
        return "reported", ""
    # Of two that were exchanged, whole in themselves, what they vouch for is what does not fit.
    folders = {str(PurePosixPath(path).parent) for path in damage.files}
    named = [f"{folder}{end}" for folder in folders for end in ("/", ": ")]
    if len(damage.files) > 1 and any(name in ended.stdout for name in named):
        return "reported", ""
    return "reported without its name", text


# Advice

_COMMAND = re.compile(r"python -m pipeline\.(\w+)((?: +[^\s]+)*)")
_FLAGS = ("--force", "--replace", "--repair", "--together", "--with-encoder")
_STOPS = ".,;:)'"
_VALUES = {
    "--grid": "grid.yaml", "--encoder": "vilt", "--file": "tiny.h5", "--output": "tiny.h5",
    "--dataset": "tiny", "--source": "jsonl", "--input": "data/tiny/raw",
}  # fmt: skip
"""What a user puts for the capitals of an advice."""
_BUNDLED = {"--dataset": "tiny", "--variant": "melov", "--seed": "0"}
"""The same, of a bundle of which nothing is known any more."""


def advised(ended: Ended) -> list[list[str]]:
    """The commands that a message names, as [step, *arguments], in its order."""
    if ended.step == "verify":
        said = ended.stdout + ended.stderr
    else:
        said = ended.stderr.partition("error: ")[2]
    return list(_commands(said))


def _commands(said: str) -> Iterator[list[str]]:
    found = []
    for step, rest in _COMMAND.findall(said):
        given, words = [step], iter(rest.split())
        for word in words:
            if not word.startswith("--"):
                break
            option = word.rstrip(_STOPS)
            given.append(option)
            if option not in _FLAGS:
                word = next(words, "")
                value = word.rstrip(_STOPS)
                if step != "bundle":
                    value = _VALUES.get(option, value)
                elif value.isupper():
                    value = _BUNDLED[option]
                given.append(value)
            if word.rstrip(_STOPS) != word:
                break
        if "NAME" in rest and step == "bundle":  # as it was asked for, which nobody knows
            given.append("--with-encoder")
        if given not in found:
            found.append(given)
            yield given


def _followed(place: Workspace, steps: Sequence[Sequence[str]], depth: int = 0) -> str:
    """Run what a message advised; where that is refused in its turn, what it advises first."""
    said = []
    for step, *arguments in steps:
        ended = place.run(step, arguments)
        said.append(f"{step} {' '.join(arguments)}: {ended.code}")
        if ended.code and not ended.defect and depth < 4:
            further = [one for one in advised(ended) if one != [step, *arguments]]
            if further:
                said.append(_followed(place, further, depth + 1))
                ended = place.run(step, arguments)
                said.append(f"{step}: {ended.code}")
        if ended.defect:
            said.append(f"{ended.defect} {ended.stderr[-200:]}")
    return ", ".join(said)
