"""Where each data set's files and each run's files lie (the layout that dvc.yaml declares)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.errors import MelovError, nearest

REPORT = "report.json"
"""Vouches for the files of a report, and says what it was made from."""
SPLITS = ("train", "valid", "test")
NIL = "nil"
"""Mentions without an entity stand beside the splits, under this name."""
DATASET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""It names a folder, a key of the parameters and a DVC stage; DVC addresses no dot and no space."""


def project_path(path: Path, root: Path) -> str:
    """How the project's own files name `path`: relative to `root` where it lies inside, else as it
    stands; so they read the same from any working directory.

    Args:
        path, root: both absolute, or both relative to the same folder.
    """
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def run_named(name: str) -> tuple[str, int] | None:
    """The variant and the seed of a run's folder, by its name; None where it is none's."""
    variant, separator, seed = name.rpartition("-s")
    return (variant, int(seed)) if separator and seed.isdecimal() and seed.isascii() else None


def dataset_name(name: str) -> str:
    """`name`, where it can name a data set.

    Raises:
        MelovError: it cannot.
    """
    if not DATASET_NAME.fullmatch(name):
        raise MelovError(
            f"data set {name[:80]!r}: a name has 1 to 64 letters, digits, _ and -, and begins "
            "with a letter or a digit (DVC addresses no others)",
            "rename its folder in data/, and its keys in params.yaml",
        )
    return name


class Below:
    """A file or a folder in the folder of the object that has it, by its name there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, owner: Any, kind: type) -> Path:
        folder: Path = owner.path
        return folder / self.name


@dataclass(frozen=True)
class DatasetPaths:
    """Files of one data set; `root` is the project's folder."""

    dataset: str
    root: Path = Path()

    @property
    def path(self) -> Path:
        return self.root / "data" / self.dataset

    raw = Below("raw")
    encoders = Below("encoders")
    """Where DVC finds the encoders' local folders (stages/encode/encoders/folders.py)."""
    records = Below("records")
    store = Below("features.zarr")
    partial = Below(".partial")
    """Unfinished work; no DVC stage declares it, so DVC never deletes it."""
    load_partial = Below(".partial-load")
    joint = Below("joint.zarr")
    """Joint vectors of text and picture; only the baseline `vilt` reads them."""
    joint_partial = Below(".partial-joint")
    further = Below("further")
    """Global features of further encoders, a store each; `further.json` in `extract` names those
    that are read."""
    extract = Below("extract")
    """The folder of extraction's summary and timings."""
    graph = Below("graph")

    @property
    def repair(self) -> str:
        """The command that makes damaged files of the stores again."""
        return f"python -m pipeline.verify --dataset {self.dataset} --repair"

    def further_store(self, name: str) -> Path:
        return self.further / f"{name}.zarr"

    def further_partial(self, name: str) -> Path:
        return self.path / f".partial-further-{name}"

    def lock(self, step: str) -> Path:
        """Who works on what (`cache.locks.working`): a step is named by what it writes."""
        return self.path / ".locks" / f"{step}.lock"

    def run(self, variant: str, seed: int) -> Path:
        """Its folder; `run_named` reads its name."""
        return self.root / "runs" / self.dataset / f"{variant}-s{seed}"

    @property
    def report(self) -> Path:
        return self.root / "reports" / self.dataset

    def figures(self, variant: str, seed: int) -> Path:
        """A copy of a run's `metrics.json` that Git may have: in no folder with ignored files,
        since `dvc exp apply` removes the folder of an untracked file with all that is in it."""
        return self.root / "metrics" / self.dataset / f"{variant}-s{seed}.json"

    @property
    def overall(self) -> Path:
        """What a report says first, for DVC's tables; beside the runs' figures, for Git as well."""
        return self.root / "metrics" / self.dataset / "overall.json"

    def index(self, variant: str, seed: int) -> Path:
        """A run's entities as `link` reads them. Not in `runs/`: DVC's report stage depends on all
        of that folder, and a new index would make it stale."""
        return self.root / "indexes" / self.dataset / f"{variant}-s{seed}"

    def require_records(self) -> Path:
        """The folder of records.

        Raises:
            MelovError: the data set is unknown or not prepared yet.
        """
        if not (self.records / "records.json").exists():
            data = self.root / "data"
            known = sorted(p.parent.parent.name for p in data.glob("*/records/records.json"))
            if self.records.exists():
                raise MelovError(
                    f"{self.records}: no complete records: records.json is missing",
                    f"run python -m pipeline.prepare --dataset {self.dataset} again, with the "
                    "--input of before",
                )
            if self.path.exists():
                state = "has no records yet"
            else:
                state = f"is unknown{nearest(self.dataset, known) or '.'} Prepared here: "
                state += ", ".join(known) or "none"
            raise MelovError(
                f"data set '{self.dataset}' {state}",
                f"python -m pipeline.prepare --dataset {self.dataset} --input PATH",
            )
        return self.records
