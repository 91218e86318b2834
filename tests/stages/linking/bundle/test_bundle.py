"""A bundle links as its run does, anywhere; what is not as it was written is told of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cache.errors import DamagedError, MelovError
from cache.sealed import Sealed, write_sealed
from pipeline import Linker, Mention
from stages.config import EvaluateConfig, ExtractConfig
from stages.datasets.records import Records
from stages.encode.extract import extract
from stages.linking import linker as core
from stages.linking.bundle import write
from stages.linking.bundle.open import open_bundle
from stages.linking.bundle.write import BundleSpec, require_free, write_bundle
from stages.linking.mention import NewMention
from stages.paths import DatasetPaths
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.fit import fit
from stages.runs.folder import RunFolder
from stages.verify.check import bundle_part
from tests.stages.linking.test_api import mentions
from tests.support.bundles import RUNS, away, flip
from tests.support.small_runs import small


@pytest.fixture
def asked(root) -> list[Mention]:
    """The test mentions, with their pictures in memory."""
    return [
        m if m.image is None else replace(m, start=None, image=Path(str(m.image)).read_bytes())
        for m in mentions(root)
    ]


@pytest.fixture
def own(bundles, tmp_path) -> Path:
    """A copy of melov's bundle, to be changed."""
    return Path(shutil.copytree(bundles / "melov", tmp_path / "own"))


@pytest.mark.parametrize("variant", RUNS)
def test_a_bundle_links_as_its_run_without_its_project(
    root, bundles, asked, variant, monkeypatch, tmp_path
):
    opened = Linker.load(root / f"runs/tiny/{variant}-s{RUNS[variant]}", index=False)
    want = list(opened.link(asked, top=7))
    own = [root / "clip"] if variant == "melov" else []  # the others name it where it is
    monkeypatch.chdir(tmp_path)
    with away(root / "data", root / "runs", *own):
        linker = Linker.from_pretrained(bundles / variant)
        found = list(linker.link(asked, top=7))
    assert [(e.id, e.name) for e in linker.entities] == [(e.id, e.name) for e in opened.entities]
    for one, other in zip(found, want, strict=True):
        assert [e.id for e in one.entities] == [e.id for e in other.entities]
        for mine, theirs in zip(one.entities, other.entities, strict=True):
            assert mine.score == pytest.approx(theirs.score, abs=1e-5)
            assert mine.units == pytest.approx(theirs.units, abs=1e-5)
        assert (one.has_image, one.warnings) == (other.has_image, other.warnings)
        assert (one.answer, one.calibration) == (other.answer, other.calibration)
        assert one.nil_probability == pytest.approx(other.nil_probability, abs=1e-5)
        assert [n.id for n in one.neighbours] == [n.id for n in other.neighbours]
        assert one.alpha == (None if other.alpha is None else pytest.approx(other.alpha, abs=1e-5))


def test_a_store_without_pictures_has_a_bundle_too(root, tmp_path):
    paths = DatasetPaths("tiny", tmp_path)
    clip, evaluate = str(root / "clip"), EvaluateConfig()
    config = ExtractConfig(text_encoder=clip, image_encoder="none", max_tokens=20)
    shutil.copytree(root / "data/tiny/records", paths.records)
    extract(paths, config)
    spec = RunSpec.of("no-intra", 0, small(units=("text",), epochs=1))
    fit(spec, Dataset.open(paths), RunFolder.of(paths, "no-intra", 0), evaluate)
    output, own = tmp_path / "bundle", BundleSpec("no-intra", 0, encoder=True)
    write_bundle(paths, own, output, config, evaluate)
    want = core.Linker.open(paths, "no-intra", 0, config, evaluate)
    asked = [NewMention("Ada", "at the river", b"no picture")]
    (one,) = open_bundle(output, ExtractConfig(), evaluate).link(asked, 5)
    (other,) = want.link(asked, 5)
    assert [e.id for e in one.entities] == [e.id for e in other.entities]
    assert one.warnings == other.warnings == ["the picture: not read: the run uses no pictures"]


def test_the_same_run_gives_the_same_bytes_and_its_own_files(root, bundles, own, tmp_path):
    again = tmp_path / "again"
    spec = BundleSpec("melov", 0, encoder=True, license="mit")
    config = ExtractConfig(text_encoder="clip")
    size = write_bundle(DatasetPaths("tiny"), spec, again, config, EvaluateConfig())
    files = {p.relative_to(own): p.read_bytes() for p in own.rglob("*") if p.is_file()}
    assert {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()} == files
    assert size == sum(map(len, files.values()))
    assert not list(own.rglob(".*"))
    sealed = Sealed.read(own / "bundle.json")
    assert {Path(name) for name in sealed.files} == files.keys() - {Path("bundle.json")}
    for name in ("config.json", "model.safetensors", "training.npz", "metrics.json", "ranks.npz"):
        assert files[Path(name)] == (root / "runs/tiny/melov-s0" / name).read_bytes()


def test_the_card_has_what_was_measured_and_nothing_else(root, bundles):
    text = (bundles / "melov/README.md").read_text()
    _, front, body = text.split("---\n", 2)
    said = yaml.safe_load(front)
    assert (said["license"], said["library_name"]) == ("mit", "melov-cache")
    measured = json.loads((root / "runs/tiny/melov-s0/metrics.json").read_text())
    for part in ("test", "valid", "test_unseen"):
        assert f"| {100 * measured[part]['hits@1']:.2f} | " in body
        assert f"| {100 * measured[part]['mrr']:.2f} | " in body
    assert "| mentions: training, validation, test | 48, 12, 24 |" in body
    assert "No licence" not in body
    assert "2024.findings-acl.46" in body
    other = (bundles / "mimic/README.md").read_text()
    assert yaml.safe_load(other.split("---\n", 2)[1])["license"] == "unknown"
    for words in ("Nothing: the run was not evaluated", "Pictures are not read", "No licence"):
        assert words in other


def test_the_card_says_what_the_bundle_holds_while_another_process_evaluates(
    root, bundles, tmp_path, monkeypatch
):
    paths, config = DatasetPaths("tiny", tmp_path), ExtractConfig(text_encoder=str(root / "clip"))
    ignore = shutil.ignore_patterns("mimic*", "filter*", "clip*")
    for name in ("data/tiny", "runs/tiny"):
        shutil.copytree(root / name, tmp_path / name, ignore=ignore)
    folder, real = RunFolder.of(paths, "melov", 0), write._write_entities
    for path in (*folder._beside_metrics, folder.metrics):
        path.unlink()

    def meanwhile(run, dataset, evaluate, bundle):
        run.evaluate(dataset, evaluate)
        real(run, dataset, evaluate, bundle)

    monkeypatch.setattr(write, "_write_entities", meanwhile)
    write_bundle(paths, BundleSpec("melov", 0), tmp_path / "own", config, EvaluateConfig())
    assert folder.is_evaluated
    assert not (tmp_path / "own/metrics.json").exists()
    assert "Nothing: the run was not evaluated" in (tmp_path / "own/README.md").read_text()


DAMAGED = (
    "bundle.json", "config.json", "model.safetensors", "training.npz", "metrics.json",
    "entities.parquet", "entities.zarr/views/keys/c.0.0", "entities.zarr/zarr.json",
    "sides/*/cross/r/zarr.json", "sides/*/cross/r/c.0.0", "sides/*/text/query/values/c.0.0",
    "codes/*/cross/codes/c.0.0", "codes/*/zarr.json", "training.zarr/texts/global/c.0.0",
    "training.zarr/images/local/c.0.0.0", "encoder/text/model.safetensors",
    "encoder/text/tokenizer.json", "encoder/text/config.json",
)  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_changed_byte_is_an_error_that_names_the_file(own, asked, name):
    path = sorted(own.glob(name))[0]
    flip(path)
    with pytest.raises(MelovError) as found:
        list(Linker.from_pretrained(own).link(asked[:8]))
    assert str(path.parent if path.name == "zarr.json" else path) in str(found.value)
    assert "pipeline.bundle" in str(found.value)


def test_verify_names_every_changed_or_missing_file(own):
    files = sorted(p for p in own.rglob("*") if p.is_file() and p.name != "bundle.json")
    assert list(bundle_part(own).problems()) == []
    for path in files:
        data = path.read_bytes()
        flip(path)
        assert [p.path for p in bundle_part(own).problems()] == [path]
        path.write_bytes(data)
    files[3].unlink()
    assert [p.path for p in bundle_part(own).problems()] == [files[3]]
    with pytest.raises(MelovError, match="no bundle"):
        bundle_part(own / "sides")


def test_the_card_may_be_edited_and_other_files_may_lie_beside(own):
    (own / "README.md").write_text("mine")
    (own / ".gitattributes").write_text("* text")
    assert next(Linker.from_pretrained(own).link([Mention("Ada")])).entities


def test_what_is_no_bundle_of_this_version_is_told(own, tmp_path):
    with pytest.raises(MelovError, match=r"no bundle: .*bundle\.json"):
        Linker.from_pretrained(tmp_path)
    sealed = Sealed.read(own / "bundle.json")
    files = [own / name for name in sealed.files]
    for change, said in {
        "expected 2": {"format": 1},
        "damaged: seed": {"seed": "0"},
        "of another run": {"run": "0" * 32},
    }.items():
        write_sealed(own / "bundle.json", {**sealed.content, **said}, files)
        with pytest.raises(MelovError, match=change):
            Linker.from_pretrained(own)
    text = json.dumps(sealed.content)
    outside = tmp_path / "outside"
    outside.write_text(text)
    (own / "bundle.json").write_text("{}")
    with pytest.raises(DamagedError, match="no seal"):
        Linker.from_pretrained(own)


def test_another_encoder_is_refused_and_one_that_moved_is_taken(root, bundles, tmp_path):
    bundle, moved = bundles / "mimic", tmp_path / "moved"
    shutil.copytree(root / "clip", moved)
    with away(root / "clip"):
        with pytest.raises(MelovError, match="no such checkpoint folder") as found:
            Linker.from_pretrained(bundle)
        assert str(root / "clip") in str(found.value)
        linker = Linker.from_pretrained(bundle, text_encoder=moved)
        assert next(linker.link([Mention("Ada")])).entities
    said = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**said, "logit_scale_init_value": 1.0}))
    with pytest.raises(MelovError, match="text_encoder: stored") as found:
        Linker.from_pretrained(bundle, text_encoder=moved)
    assert "text_encoder=FOLDER" in str(found.value)


def test_an_interrupted_bundle_leaves_what_was_there(root, own, tmp_path, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "write_sealed", killed)
    before = (own / "bundle.json").read_bytes()
    for output in (tmp_path / "new", own):
        with pytest.raises(KeyboardInterrupt):
            write_bundle(
                DatasetPaths("tiny"), BundleSpec("mimic", 1), output, ExtractConfig(),
                EvaluateConfig(),
            )  # fmt: skip
    assert sorted(tmp_path.iterdir()) == [own]
    assert (own / "bundle.json").read_bytes() == before
    require_free(tmp_path / "new", force=False)
    require_free(own, force=True)
    with pytest.raises(MelovError, match="--force"):
        require_free(own, force=False)
    with pytest.raises(MelovError, match="other files than a bundle's"):
        require_free(tmp_path, force=True)
    (own / "bundle.json").unlink()
    require_free(own, force=True)  # a damaged one
    with pytest.raises(MelovError, match="--force"):
        require_free(own, force=False)


def test_what_cannot_be_bundled_is_told(root, tmp_path, monkeypatch):
    def asked(**said):
        spec = BundleSpec(**{"variant": "melov", "seed": 0, **said})
        config = ExtractConfig(text_encoder="clip")
        write_bundle(DatasetPaths("tiny"), spec, tmp_path / "out", config, EvaluateConfig())

    with pytest.raises(MelovError, match="no trained run"):
        asked(seed=9)
    with pytest.raises(MelovError, match="joint encoder"):
        asked(variant="vilt")
    history = DatasetPaths("tiny").run("melov", 0) / "history.csv"
    whole = history.read_bytes()
    flip(history)
    try:
        with pytest.raises(DamagedError, match=r"^runs/tiny/melov-s0/history\.csv: damaged"):
            asked()
    finally:
        history.write_bytes(whole)
    monkeypatch.setattr(write.Checkpoint, "identity", lambda self: "another")
    with pytest.raises(MelovError, match="not the text encoder that made the store"):
        asked(encoder=True)
    assert list(tmp_path.iterdir()) == []
    assert Records.load(DatasetPaths("tiny").records).entities.num_rows == 28
