"""The source archive and the wheel, and a newcomer's way with the wheel alone: no repository, no
file of it, an empty folder.

`make test-wheel` runs this. WHEEL_PYTHON names another interpreter, such as python3.13, for the
fresh environment; all dependencies are then installed, too, by constraints.txt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.support.documents import ROOT
from tests.support.tiny_encoders import build_clip_of
from tests.support.tiny_world import write_records

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(1800)]
PACKAGES = ("cache", "stages", "pipeline")
DATASET = ("--dataset", "mine")
RUN = (*DATASET, "--variant", "melov")
MENTION = ("--mention", "Ada", "--sentence", "river of Ada")
GRID = "hard-negatives"


def call(folder: Path, *command: str | Path) -> str:
    """What a command printed; it must succeed."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stdout + done.stderr)
    return done.stdout


@dataclass(frozen=True)
class Built:
    """Both archives, and the files that Git has of the project."""

    sdist: Path
    wheel: Path
    tracked: set[str]

    @property
    def source(self) -> Path:
        """The unpacked source archive."""
        return self.sdist.with_name("unpacked") / self.sdist.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The source archive of a copy of the project, and the wheel of the unpacked archive."""
    folder = tmp_path_factory.mktemp("built")
    listed = call(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard")
    tracked = {name for name in listed.splitlines() if os.path.lexists(ROOT / name)}
    for name in tracked:
        target = folder / "copy" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    code = "from setuptools import build_meta; build_meta.build_sdist('../dist')"
    call(folder / "copy", sys.executable, "-c", code)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    built = Built(sdist, folder, tracked)
    with tarfile.open(sdist) as archive:
        archive.extractall(built.source.parent, filter="data")
    # By the setuptools that is here: a build of its own environment would only fetch it again.
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", folder / "dist")
    call(folder, sys.executable, "-m", "pip", "wheel", *options, built.source)
    (wheel,) = (folder / "dist").glob("*.whl")
    return Built(sdist, wheel, tracked)


def test_the_source_archive_has_every_file_of_the_project(built):
    there = {p.relative_to(built.source).as_posix() for p in built.source.rglob("*") if p.is_file()}
    links = {name for name in built.tracked if (ROOT / name).is_dir()}  # to folders
    assert sorted(built.tracked - links - there) == []


def test_tests_pass_in_the_unpacked_source_archive(built):
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    said = call(built.source, *command, "tests/test_package.py", "tests/pipeline/test_init.py")
    assert " passed" in said


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(built):
    with zipfile.ZipFile(built.wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {name for name in built.tracked if name.split("/")[0] in PACKAGES}
    for link in [name for name in expected if (ROOT / name).is_dir()]:
        expected.remove(link)
        expected |= {f"{link}/{path.name}" for path in (ROOT / link).iterdir()}
    assert {"pipeline/defaults/params.yaml", "pipeline/defaults/grids/table2.yaml"} <= expected
    assert {f"{package}/py.typed" for package in PACKAGES} <= expected
    assert shipped == expected


@pytest.fixture(scope="module")
def scripts(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a fresh environment into which the wheel was installed.

    The wheel's dependencies are those of the present environment, by a .pth file, or gigabytes
    would be installed for each run of this test. Only melov-cache must come from the wheel: it
    stands before that path, and the present environment's editable install works by a .pth file of
    its own, which Python reads in the folders of its own environment alone.
    """
    environment = tmp_path_factory.mktemp("fresh") / "venv"
    other = os.environ.get("WHEEL_PYTHON")
    call(ROOT, other or sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    options = ["--quiet", "--no-compile", "--constraint", ROOT / "constraints.txt"]
    if not other:
        place = call(ROOT, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
        Path(place.strip(), "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
        options.append("--no-index")  # nothing is to be fetched
    wheel = f"{built.wheel}[serve]"
    call(ROOT, sys.executable, "-m", "pip", "--python", python, "install", *options, wheel)
    return python.parent


def test_the_project_is_the_wheels(scripts, tmp_path):
    code = (
        "import cache as c, pipeline as p, stages as s; print(c.__file__, p.__file__, s.__file__)"
    )
    for place in call(tmp_path, scripts / "python", "-c", code).split():
        assert Path(place).is_relative_to(scripts.parent), place


def test_a_newcomer_goes_from_an_empty_folder_to_a_bundle(scripts, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()

    def melov(*arguments: str) -> str:
        return call(folder, scripts / "melov", *arguments)

    build_clip_of(folder / "encoder", image_size=32, patch_size=8)
    begun = melov("init", "mine", "--text-encoder", "encoder")
    assert "  melov prepare --dataset mine\n" in begun
    raw = folder / "data/mine/raw"
    write_records(raw, np.random.default_rng(0))
    melov("validate", *DATASET)
    for step in ("prepare", "extract", "graph"):
        melov(step, *DATASET)
    melov("train", *RUN, "--set", "train.epochs=2")
    call(folder, scripts / "python", "-m", "pipeline.evaluate", *RUN)
    assert melov("link", *RUN, *MENTION).count("Ada") > 3
    assert "--port" in melov("serve", "--help")
    few = ("--set", "seeds=[0]", "--set", "variants=[melov]")
    melov("ablate", *DATASET, "--grid", GRID, "--set", "train.epochs=1")
    assert (folder / "ablations/mine" / GRID / "table.md").is_file()
    assert "H@1" in melov("report", *DATASET, *few)
    page = (folder / "reports/mine/report.html").read_text(encoding="utf-8")
    assert "</html>" in page
    assert GRID in page
    melov("bundle", *RUN, "--output", "sent", "--with-encoder")

    shutil.move(folder / "sent", tmp_path / "elsewhere")
    shutil.rmtree(folder)
    code = (
        "from pipeline import Linker, Mention\n"
        "linker = Linker.from_pretrained('elsewhere')\n"
        "(found,) = linker.link([Mention('Ada', 'river of Ada')], top=3)\n"
        "print(*(entity.name for entity in found.entities), sep='\\n')"
    )
    names = call(tmp_path, scripts / "python", "-c", code).splitlines()
    assert len(names) == 3
    assert any(name.startswith("Ada ") for name in names)


def test_outside_of_a_project_the_message_says_how_to_begin_one(scripts, tmp_path):
    done = subprocess.run(
        [scripts / "melov", "prepare", *DATASET], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "begin one here: melov init NAME" in done.stderr
