"""The commands that the campaign kills, each in a tree where an older output lies or none.

with Bench(folder) as bench:
    bench.straight(CASES["graph again"]).after      # hashes of what an undisturbed run leaves
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.forks import Ended, Forks
from tests.faults.trees import BUNDLE, DATASET, call, copied
from tests.support.small_project import tree as hashes

DATA = Path("data") / DATASET
STORE = DATA / "features.zarr"
OTHER = ("--set", "extract.max_tokens=12")
"""Another store of the same records."""


@dataclass(frozen=True)
class Case:
    """A command in a tree.

    scene: what the tree is a copy of; one of SCENES or of the states.
    by_file: older and newer files stand beside each other until the end: a repair.
    """

    name: str
    scene: str
    step: str
    more: tuple[str, ...] = ()
    by_file: bool = False

    @property
    def command(self) -> tuple[str, list[str]]:
        module, given = call(self.step)
        return module, [*given, *self.more]


CASES = {
    case.name: case
    for case in (
        Case("prepare", "raw", "prepare"),
        Case("prepare again", "changed", "prepare"),
        Case("encoders", "raw", "encoders"),
        Case("extract", "prepared", "extract"),
        Case("extract, update", "to update", "extract"),
        Case("extract --force", "extracted", "extract", ("--force", *OTHER)),
        Case("joint", "extracted", "joint"),
        Case("joint --replace", "joint", "joint", ("--replace", *OTHER)),
        Case("graph", "joint", "graph"),
        Case("graph again", "graph", "graph", ("--set", "graph.max_neighbors=2")),
        Case("train", "graph", "train"),
        Case("train again", "evaluated", "train", ("--set", "train.learning_rate=0.02")),
        Case("evaluate", "trained", "evaluate"),
        Case("evaluate again", "evaluated by another", "evaluate"),
        Case("ablate", "evaluated", "ablate"),
        Case("ablate again", "ablated", "ablate", ("--set", "train.learning_rate=0.02")),
        Case("report", "ablated", "report"),
        Case("report again", "reported of another", "report"),
        Case("link", "reported", "link"),
        Case("link again", "linked by another", "link"),
        Case("export", "extracted", "export"),
        Case("export again", "exported from another", "export"),
        Case("load", "without a store", "load"),
        Case("load --force", "exported from another", "load", ("--force",)),
        Case("bundle", "exported", "bundle"),
        Case("bundle again", "bundled of another", "bundle"),
        Case("verify --repair", "damaged", "verify", ("--repair",), by_file=True),
    )
}

# Trees that no single command leaves. Each is made from a state and some more commands.


def _changed(root: Path, run: Callable[..., Ended]) -> None:
    """The source has one entity more and one text changed since it was prepared."""
    path = root / DATA / "raw" / "entities.jsonl"
    first, *lines = path.read_text().splitlines()
    new = {"id": "E99", "name": "New One", "description": "of no place", "image": "pictures/p3.png"}
    other = json.dumps({**json.loads(first), "description": "somebody else"})
    path.write_text("\n".join([json.dumps(new), other, *lines]) + "\n")


def _to_update(root: Path, run: Callable[..., Ended]) -> None:
    _changed(root, run)
    run(root, "prepare")


def _evaluated_by_another(root: Path, run: Callable[..., Ended]) -> None:
    """The older metrics are whole, and of weights that are there no more."""
    run(root, "train", "--set", "train.learning_rate=0.02")
    run(root, "evaluate")
    shutil.copytree(root / "runs", root / "runs-of-another")
    run(root, "train")
    for name in ("metrics.json", "ranks.npz", "probabilities.npz", "predictions.csv"):
        shutil.copy(root / "runs-of-another" / DATASET / "melov-s0" / name, _run_folder(root))
    shutil.rmtree(root / "runs-of-another")


def _of_another(root: Path, run: Callable[..., Ended]) -> None:
    """The run is another one since it was reported, indexed or bundled."""
    run(root, "train", "--set", "train.learning_rate=0.02")
    run(root, "evaluate")


def _exported_from_another(root: Path, run: Callable[..., Ended]) -> None:
    run(root, "export")
    run(root, "extract", "--force", *OTHER)


def _without_a_store(root: Path, run: Callable[..., Ended]) -> None:
    run(root, "export")
    shutil.rmtree(root / STORE)


def _damaged(root: Path, run: Callable[..., Ended]) -> None:
    """Rows of texts and pictures, an array's metadata, a file that is gone, and the ledger."""
    for name in ("texts/local/c.1.0", "images/global/c.0.0", "words/idf/zarr.json", "zarr.json"):
        path = root / STORE / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    (root / STORE / "entities/text/c.0").unlink()


def _run_folder(root: Path) -> Path:
    return root / "runs" / DATASET / "melov-s0"


SCENES: dict[str, tuple[str, Callable[[Path, Callable[..., Ended]], None]]] = {
    "changed": ("prepared", _changed),
    "to update": ("extracted", _to_update),
    "evaluated by another": ("trained", _evaluated_by_another),
    "reported of another": ("reported", _of_another),
    "linked by another": ("linked", _of_another),
    "bundled of another": ("bundled", _of_another),
    "exported from another": ("extracted", _exported_from_another),
    "without a store": ("extracted", _without_a_store),
    "damaged": ("extracted", _damaged),
}

# What belongs together in a tree


_TOGETHER = [
    (rf"data/{DATASET}/(records|graph|features\.zarr|joint\.zarr)/.*", r"\1"),
    (rf"data/{DATASET}/extract/(summary\.json|failed_pictures\.csv|store\.json)", "summary"),
    (
        r"((?:runs|ablations)/.*)/(?:config\.json|model\.safetensors|training\.npz|history\..*)",
        r"\1",
    ),
    (
        r"((?:runs|ablations)/.*)/(?:metrics\.json|ranks\.npz|probabilities\.npz|predictions\.csv)",
        r"metrics of \1",
    ),
    (rf"(ablations/{DATASET}/[^/]*)/(?:table|runs).*", r"tables of \1"),
    (r"(reports/.*)/.*", r"\1"),
    (r"(indexes/.*\.zarr)/.*", r"\1"),
    (rf"({BUNDLE})/.*", r"\1"),
]
"""Patterns of files, and the name of the group that vouches for all of them."""
INDEXES = (
    "records.json", "graph.json", "summary.json", "config.json", "metrics.json", "tables.json",
    "report.json", "bundle.json", ".zarr/zarr.json",
)  # fmt: skip
"""What vouches for a group; without it there is no output."""
UNCOMPARED = ("timings.json", "picture-keys.parquet")
"""Seconds, and times of files: documented as what no result depends on."""


def grouped(files: dict[str, str]) -> dict[str, dict[str, str]]:
    """Hashes of a tree's outputs by group; unfinished work, locks and seconds are in none."""
    found: dict[str, dict[str, str]] = {}
    for name, digest in files.items():
        if "/." in f"/{name}" or name.endswith(("/", *UNCOMPARED)):
            continue
        group = name
        for pattern, title in _TOGETHER:
            if match := re.fullmatch(pattern, name):
                group = match.expand(title)
                break
        found.setdefault(group, {})[name] = digest
    return found


def mixed(
    now: dict[str, str], before: dict[str, str], after: dict[str, str], by_file: bool = False
) -> dict[str, str]:
    """Groups that are neither as before nor as after, with what is odd in them.

    Args:
        by_file: allow the older of one file beside the newer of another.
    """
    older, newer, here = grouped(before), grouped(after), grouped(now)
    found = {}
    for group in older.keys() | newer.keys() | here.keys():
        content, was, becomes = (files.get(group, {}) for files in (here, older, newer))
        if content in (was, becomes) or (
            by_file and not content.items() - was.items() - becomes.items()
        ):
            continue
        nothing = not any(name.endswith(INDEXES) for name in content)  # that anybody would read
        if nothing and not (was and becomes):
            continue  # as it was or will be
        run = group.removeprefix("metrics of ")
        another = here.get(run) == newer.get(run) != older.get(run)
        if run != group and another and content.items() <= was.items():
            continue  # of the older weights: readers refuse them while they are being removed
        odd = {n for n in content.keys() | becomes.keys() if content.get(n) != becomes.get(n)}
        found[group] = ", ".join(sorted(odd)[:3])
    return found


def differences(now: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Files and folders that are missing, left over or other ones."""
    found = [f"missing: {name}" for name in sorted(wanted.keys() - now.keys())]
    found += [f"left over: {name}" for name in sorted(now.keys() - wanted.keys())]
    return found + [
        f"differs: {name}"
        for name in sorted(now.keys() & wanted.keys())
        if now[name] != wanted[name] and not name.endswith(UNCOMPARED)
    ]


def everything(root: Path) -> dict[str, str]:
    """Hash of every file below `root`, and each folder's name with a slash, so that an empty one
    that is left over is seen."""
    folders = {
        f"{path.relative_to(root).as_posix()}/": "" for path in root.rglob("*") if path.is_dir()
    }
    return hashes(root) | folders


@dataclass(frozen=True)
class Straight:
    """A run that nothing disturbed: the tree before and after it, and how it ended."""

    before: dict[str, str]
    after: dict[str, str]
    ended: Ended


def scene(name: str, to: Path, forks: Forks) -> Path:
    """Build a tree at `to`."""
    state, more = SCENES.get(name, (name, lambda *_: None))
    root = copied(state, to)

    def run(root: Path, step: str, *given: str) -> Ended:
        module, arguments = call(step)
        ended = forks.run(root, module, [*arguments, *given])
        assert ended.status == 0, ended.output
        return ended

    more(root, run)
    return root
