"""A Git and DVC repository with the project's own dvc.yaml over two data sets, `a` and `b`.

DVC sees the outputs, parameters and data that it sees in the project. Its commands are quick ones
that write their outputs from their parameters, so that minutes of work become seconds; the stage
`encoders` runs as it is. With `real`, all have the project's own commands and code.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.support.small_project import tree
from tests.support.tiny_world import write_clip, write_records

ROOT = Path(__file__).resolve().parents[2]
DATASETS = ("a", "b")
KINDS = ("outs", "metrics", "plots")
"""What a stage writes, in dvc.yaml."""
CODE = ("cache", "pipeline", "stages")
WRITE = """\
import sys
from pathlib import Path
text = Path("params.yaml").read_text()
for out in map(Path, sys.argv[1:]):
    folder = not out.suffix
    out = out / "file.txt" if folder else out
    out.parent.mkdir(parents=True, exist_ok=True)
    # Only what trains and what follows is another for other parameters.
    changes = out.parts[0] in ("runs", "metrics", "reports")
    new = out.with_name(f".{out.name}.new")  # what is there may be linked to, so it is replaced
    made = sum(text.encode()) if changes else 0
    said = '{"made": %d}\\n' % made
    if out.name == "overall.json":
        rates = '{"H@1": %.2f, "MRR": %.2f}' % (made % 97, made % 89)
        said = '{"%s": {"melov": %s, "mimic": %s}, "_checksum": ["%d"]}\\n'
        said %= (out.parent.name, rates, rates, made)
    new.write_text(said)
    new.replace(out)
"""


class DvcProject:
    """The repository in `folder`, its first commit made; nothing of the pipeline has run.

    Args:
        real: with the project's own commands.
    """

    def __init__(self, folder: Path, real: bool = False) -> None:
        self.folder, self.real = folder, real
        folder.mkdir()
        self.call("git", "init", "--quiet", "--initial-branch", "main")
        for key, value in (("name", "Test"), ("email", "test@example.org")):
            self.call("git", "config", f"user.{key}", value)
        for name in (".gitignore", ".dvcignore"):
            shutil.copy(ROOT / name, folder)
        for number, name in enumerate(DATASETS):
            raw = folder / "data" / name / "raw"
            raw.mkdir(parents=True)
            texts = write_records(raw, np.random.default_rng(number))
            write_clip(raw.parent / "encoder", texts)
        (folder / "params.yaml").write_text(yaml.safe_dump(_params(), sort_keys=False))
        (folder / "dvc.yaml").write_text(
            (ROOT / "dvc.yaml").read_text() if real else yaml.safe_dump(_quick(), sort_keys=False)
        )
        bed = folder / "data/demo/dvc.yaml"  # its stages run where they are named, and never here
        bed.parent.mkdir()
        bed.write_text(yaml.safe_dump(_quick_demo(), sort_keys=False))
        if real:
            for name in CODE:
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        (folder / "write.py").write_text(WRITE)
        self.dvc("init", "--quiet")
        shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
        self.commit("first")

    def copy(self, folder: Path) -> DvcProject:
        """The same in another folder."""
        made = copy(self)
        made.folder = folder
        shutil.copytree(self.folder, folder, symlinks=True)
        return made

    @property
    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # DVC's record of what it has hashed and linked must not be the user's own.
        site = str(self.folder.parent / "site-cache")
        own = {} if self.real else {"PYTHONPATH": str(ROOT)}
        return os.environ | {"PATH": path, "DVC_SITE_CACHE_DIR": site, **own}

    def call(self, *command: str) -> str:
        """What a command printed; it must succeed."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def dvc(self, *arguments: str) -> str:
        return self.call(sys.executable, "-m", "dvc", *arguments)

    def commit(self, message: str) -> None:
        """Everything that Git does not ignore."""
        self.call("git", "add", "--all")
        self.call("git", "commit", "--quiet", "--message", message)

    def repro(self) -> list[str]:
        """Stages that `dvc repro` ran."""
        return ran(self.dvc("repro"))

    def files_of(self, dataset: str) -> dict[str, str]:
        """Every file of a data set, by path: its hash. Locks say who worked last."""
        return {
            f"{top}/{dataset}/{name}": digest
            for top in ("data", "runs", "metrics", "reports", "ablations", "indexes")
            for name, digest in tree(self.folder / top / dataset).items()
            if not name.startswith(".locks/")
        }


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([\w@-]+)'", output)


def _params() -> dict[str, Any]:
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params |= {"datasets": [*DATASETS], "variants": ["melov"], "seeds": [0]}
    small = {"max_tokens": 20, "dtype": "float32", "batch_texts": 8, "batch_images": 8}
    params["extract"] |= small
    params["graph"] |= {"bandwidth_fraction": 0.5, "max_neighbors": 6}
    params["train"] |= {
        "d_v": 8,
        "d_h": 8,
        "d_z": 4,
        "epochs": 2,
        "batch_size": 16,
        "tau_init": 0.2,
    }
    params["prepare"]["source"] = "jsonl"
    blocks = ("prepare", "extract", "graph", "train", "evaluate")
    params["overrides"] = {
        name: {block: {} for block in blocks}
        | {"extract": {"text_encoder": f"data/{name}/encoder"}}
        for name in DATASETS
    }
    return params


def _quick() -> dict[str, Any]:
    """dvc.yaml without its dependencies on code, its commands replaced by ones that write."""
    return _written(ROOT / "dvc.yaml")


def _quick_demo() -> dict[str, Any]:
    """The test bed's own stages likewise, the optional ones among them."""
    declared = _written(ROOT / "data/demo/dvc.yaml")
    for stage in declared["stages"].values():
        stage["params"] = [name for name in stage["params"] if not name.startswith("overrides.")]
    return declared


def _written(file: Path) -> dict[str, Any]:
    declared: dict[str, Any] = yaml.safe_load(file.read_text())
    for name, stage in declared["stages"].items():
        stage["deps"] = [dep for dep in stage["deps"] if dep.startswith(("data/", "runs/"))]
        if name != "encoders":
            outs = [next(iter(out)) for kind in KINDS for out in stage.get(kind, [])]
            stage["cmd"] = " ".join(["python", "-S", "write.py", *outs])
    return declared
