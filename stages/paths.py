"""Where each data set's files and each run's files lie (the layout that dvc.yaml declares)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cache.errors import MelovError, nearest

SPLITS = ("train", "valid", "test")


def project_path(path: Path, root: Path) -> str:
    """How the project's own files name `path`: relative to `root` where it lies inside, else as it
    stands; so they read the same from any working directory.

    Parameters
    ----------
    path, root: both absolute, or both relative to the same folder.
    """
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


@dataclass(frozen=True)
class DatasetPaths:
    """Files of one data set; `root` is the project's folder."""

    dataset: str
    root: Path = Path()

    @property
    def folder(self) -> Path:
        return self.root / "data" / self.dataset

    @property
    def raw(self) -> Path:
        return self.folder / "raw"

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def store(self) -> Path:
        return self.folder / "features.zarr"

    @property
    def partial(self) -> Path:
        """Unfinished work; no DVC stage declares it, so DVC never deletes it."""
        return self.folder / ".partial"

    @property
    def joint(self) -> Path:
        """Joint vectors of text and picture; only the baseline `vilt` reads them."""
        return self.folder / "joint.zarr"

    @property
    def joint_partial(self) -> Path:
        return self.folder / ".partial-joint"

    @property
    def extract(self) -> Path:
        """The folder of extraction's summary and timings."""
        return self.folder / "extract"

    @property
    def graph(self) -> Path:
        return self.folder / "graph"

    def run(self, variant: str, seed: int) -> Path:
        return self.root / "runs" / self.dataset / f"{variant}-s{seed}"

    def index(self, variant: str, seed: int) -> Path:
        """A run's entities as `link` reads them. Not in `runs/`: DVC's report stage depends on all
        of that folder, and a new index would make it stale."""
        return self.root / "indexes" / self.dataset / f"{variant}-s{seed}"

    def require_records(self) -> Path:
        """The folder of records.

        Raises
        ------
        MelovError: the data set is unknown or not prepared yet.
        """
        if not (self.records / "records.json").exists():
            data = self.root / "data"
            known = sorted(p.parent.parent.name for p in data.glob("*/records/records.json"))
            if self.folder.exists():
                state = "has no records yet"
            else:
                state = f"is unknown{nearest(self.dataset, known) or '.'} Prepared here: "
                state += ", ".join(known) or "none"
            raise MelovError(
                f"data set '{self.dataset}' {state}",
                f"python -m pipeline.prepare --dataset {self.dataset} --source mimic --input PATH",
            )
        return self.records
