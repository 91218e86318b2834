"""A DVC project around a made data set: what DVC itself costs where nothing changed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.commands import PROJECT, timed
from stages.paths import DatasetPaths

DVC = (sys.executable, "-m", "dvc")
CODE = ("cache", "pipeline", "stages")
STAGES = ("encoders", "prepare", "extract", "graph")


class DvcProject:
    """The project's own dvc.yaml in a Git repository of its own. The data set's files come in by
    hard links; DVC hashes them, and of the store just its index.

    Args:
        folder: an empty one on the disk of the data set.

    Raises:
        OSError: the folder is on another disk.
    """

    def __init__(self, folder: Path, paths: DatasetPaths) -> None:
        self.folder, self.dataset = folder, paths.dataset
        # DVC's record of what it has hashed must not be the user's own.
        os.environ["DVC_SITE_CACHE_DIR"] = str(folder / ".site-cache")
        for name in CODE:
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pyc*"))
        shutil.copy(PROJECT / "dvc.yaml", folder)
        params = yaml.safe_load((PROJECT / "params.yaml").read_text())
        sections = ("prepare", "extract", "graph", "train", "evaluate")
        params["overrides"][self.dataset] = {section: {} for section in sections}
        params["datasets"] = [self.dataset]
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        own = DatasetPaths(self.dataset, folder)
        shutil.copytree(paths.path, own.path, copy_function=os.link)
        own.raw.mkdir()
        own.extract.mkdir(exist_ok=True)
        for name in ("summary.json", "failed_pictures.csv", "timings.json"):
            (own.extract / name).write_text("{}\n")
        own.encoders.mkdir()
        for name in ("text", "image"):
            (own.encoders / name).write_text("made features, of no encoder\n")
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        timed([*DVC, "init", "--quiet"], folder)
        shutil.copy(PROJECT / ".dvc" / "config", folder / ".dvc" / "config")

    @property
    def targets(self) -> list[str]:
        return [f"{stage}@{self.dataset}" for stage in STAGES]

    def commit(self) -> float:
        """Hash everything, once; seconds."""
        return timed([*DVC, "commit", "--quiet", "--force", *self.targets], self.folder)[0]

    def status(self) -> float:
        """Seconds of `dvc status`; raises RuntimeError if DVC sees a change."""
        seconds, output = timed([*DVC, "status", *self.targets], self.folder)
        _require("up to date", output)
        return seconds

    def repro(self) -> float:
        """Seconds of `dvc repro` where nothing is to be done; raises RuntimeError if it runs."""
        seconds, output = timed([*DVC, "repro", *self.targets], self.folder)
        _require("up to date", output)
        return seconds


def _require(said: str, output: str) -> None:
    if said not in output:
        raise RuntimeError(f"expected DVC to say '{said}'; it said\n{output}")
