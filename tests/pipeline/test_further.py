"""Further encoders from the commands: extracted, trained on, linked with, bundled, mended."""

import json
import shutil
from pathlib import Path

import pytest

from cache.errors import MelovError
from cache.reader import FeatureStore
from pipeline import Linker, Mention
from stages.config import load_params
from stages.paths import DatasetPaths
from tests.support.asked import mentions_of_test, ranked
from tests.support.bundles import away, flip
from tests.support.small_project import build_bert, build_vit
from tests.support.tiny_project import call, own_world, run

PATHS = DatasetPaths("tiny")
NAMED = ("--set", "extract.text_encoders={letters: bert}",
         "--set", "extract.image_encoders={squares: vit}")  # fmt: skip
UNITS = ("--set", "train.units=[text,vision,lexical,further]", "--set", "train.adapter=mlp")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world with two further encoders and a run that reads both; not to be changed."""
    root = own_world(tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("further"))
    build_bert(root / "bert")
    build_vit(root / "vit")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        said = run("extract", *NAMED)
        assert "letters.zarr: written; texts: " in said
        assert "squares.zarr: written; pictures: " in said
        run("train", "--variant", "melov", *UNITS)
        run("evaluate", "--variant", "melov")
    return root


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(shutil.copytree(trained, tmp_path / "world"))
    monkeypatch.chdir(root)
    return root


def test_extract_is_done_with_all_of_them_and_remembers_them(project: Path):
    assert run("extract").count("finished already, nothing to do") == 3
    assert run("extract", *NAMED).count("finished already, nothing to do") == 3
    content = json.loads((PATHS.extract / "further.json").read_text())
    assert list(content["encoders"]) == ["letters", "squares"]
    run("extract", "--set", "extract.text_encoders={letters: bert}")
    content = json.loads((PATHS.extract / "further.json").read_text())
    assert list(content["encoders"]) == ["letters"]


def test_a_run_names_its_encoders_and_is_refused_over_others(project: Path):
    config = json.loads((project / "runs/tiny/melov-s0/config.json").read_text())
    assert config["heads"]["further"] == {
        "letters": {"width": 28, "pictures": False}, "squares": {"width": 40, "pictures": True},
    }  # fmt: skip
    assert {"further/letters", "further/squares"} <= config["provenance"].keys()
    assert "further/letters/text_encoder" in config["encoder"]
    build_bert(project / "bert-2", {"pooling_mode_mean_tokens": True})
    run("extract", "--set", "extract.text_encoders={letters: bert-2}",
        "--set", "extract.image_encoders={squares: vit}", "--replace")  # fmt: skip
    refused = call("evaluate", "--variant", "melov")
    assert refused.exit_code == 1
    assert "trained over another encoder: further/letters/text_encoder" in refused.stderr


def test_a_test_mention_links_as_the_run_ranks_it(project: Path):
    model, _data, found = ranked()
    asked = mentions_of_test()
    for linker in (Linker.load("runs/tiny/melov-s0"), Linker.load("runs/tiny/melov-s0")):
        linked = list(linker.link(asked, top=5))  # by an index that is made, then found
        for mine, theirs in zip(linked, found, strict=True):
            assert [e.score for e in mine.entities] == pytest.approx(
                [c.score for c in theirs], abs=1e-2
            )
            assert mine.entities[0].units.keys() == {"text", "vision", "lexical", "further"}
    assert len({e.id for one in linked for e in one.entities}) > 5
    assert model.config.further


def test_another_picture_or_sentence_moves_a_further_encoders_score(project: Path):
    linker = Linker.load("runs/tiny/melov-s0", index=False)
    pictures = sorted((project / "data/tiny/raw/pictures").glob("*.png"))
    asked = [
        Mention("Ada", "Ada at the river", image=pictures[0]),
        Mention("Ada", "Ada at the river", image=pictures[1]),
        Mention("Ada", "the tower of Ada", image=pictures[0]),
        Mention("Ada", "Ada at the river", image=b"no picture"),
    ]
    one, other, third, bad = (
        {e.id: e.units["further"] for e in found.entities} for found in linker.link(asked, top=28)
    )
    with_picture = [e for e in one if one[e] != other[e]]
    assert len(with_picture) == 28 - 5  # every fifth entity has no picture
    assert all(one[e] != third[e] for e in one)
    assert all(bad[e] == pytest.approx(one[e], abs=1e-5) for e in one.keys() - {*with_picture})


def test_a_bundle_has_them_all(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run("bundle", "--variant", "melov", "--with-encoder", "--output", str(tmp_path / "bundle"))
    asked = [Mention("Ada", "Ada at the river", image=project / "data/tiny/raw/pictures/m0.png")]
    (want,) = Linker.load("runs/tiny/melov-s0", index=False).link(asked, top=7)
    image = (project / "data/tiny/raw/pictures/m0.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    with away(project):
        own = Linker.from_pretrained("bundle")
        (found,) = own.link([Mention("Ada", "Ada at the river", image=image)], top=7)
    assert [e.id for e in found.entities] == [e.id for e in want.entities]
    for mine, theirs in zip(found.entities, want.entities, strict=True):
        assert mine.units == pytest.approx(theirs.units, abs=1e-5)


def test_a_bundle_finds_an_encoder_that_has_moved_and_refuses_another(
    project: Path, tmp_path: Path
):
    run("bundle", "--variant", "melov", "--output", str(tmp_path / "bundle"))
    (project / "bert").rename(project / "elsewhere")
    with pytest.raises(MelovError, match="no such checkpoint folder"):
        Linker.from_pretrained(tmp_path / "bundle")
    moved = {"letters": project / "elsewhere"}
    asked = [Mention("Ada", "Ada at the river")]
    assert list(Linker.from_pretrained(tmp_path / "bundle", further=moved).link(asked))
    flip(project / "elsewhere" / "model.safetensors")
    with pytest.raises(MelovError, match="text_encoder"):
        Linker.from_pretrained(tmp_path / "bundle", further=moved)


@pytest.mark.parametrize("name", ["letters", "squares"])
def test_a_flipped_bit_is_found_named_and_mended_alone(project: Path, name: str):
    store = PATHS.further_store(name)
    before = {path: path.read_bytes() for path in sorted(store.rglob("*")) if path.is_file()}
    kind = "texts" if name == "letters" else "images"
    chunk = max(store.glob(f"{kind}/global/c*"))
    chunk = chunk if chunk.is_file() else max(p for p in chunk.rglob("*") if p.is_file())
    flip(chunk)
    found = call("verify")
    assert found.exit_code == 1
    assert f"encoder {name:<16}damaged" in found.stdout
    assert f"of {kind} " in found.stdout
    said = run("verify", "--repair")
    (line,) = (line for line in said.splitlines() if "1 files made again" in line)
    assert f"further/{name}.zarr" in line
    assert line.endswith("texts" if name == "letters" else "pictures")
    assert {path: path.read_bytes() for path in before} == before


def test_new_entities_are_encoded_by_every_encoder_and_the_run_still_ranks(project: Path):
    raw = project / "data/tiny/raw/entities.jsonl"
    new = {
        "id": "E99",
        "name": "Ada New",
        "description": "of the river",
        "image": "pictures/m0.png",
    }
    raw.write_text(raw.read_text() + json.dumps(new) + "\n")
    run("prepare")
    stale = call("evaluate", "--variant", "melov")
    assert stale.exit_code == 1
    said = run("extract")
    assert said.count("updated; reused") == 3
    run("evaluate", "--variant", "melov")
    linker = Linker.load("runs/tiny/melov-s0")
    (found,) = linker.link([Mention("Ada New", "Ada New of the river")], top=3)
    assert found.entities[0].id == "E99"


def test_settings_that_do_not_fit_are_refused_with_the_command(project: Path):
    unit = call("train", "--variant", "melov", "--set", "train.units=[text]",
                "--set", "train.further=[letters]")  # fmt: skip
    assert unit.exit_code == 1
    assert "--set train.units=[text,further]" in unit.stderr
    misspelt = call("train", "--variant", "melov", *UNITS, "--set", "train.further=[leters]")
    assert misspelt.exit_code == 1
    assert "letters" in misspelt.stderr
    run("extract", "--set", "extract.text_encoders={}", "--replace")
    none = call("train", "--variant", "melov", *UNITS)
    assert none.exit_code == 1
    assert "--set extract.text_encoders.NAME=FOLDER" in none.stderr


def test_strong_takes_what_is_in_use_and_one_can_be_left_out(project: Path):
    strong = ("--set", "train.preset=strong", "--set", "train.epochs=1")
    run("train", "--variant", "melov", *strong)
    heads = json.loads((project / "runs/tiny/melov-s0/config.json").read_text())["heads"]
    assert list(heads["further"]) == ["letters", "squares"]
    run("train", "--variant", "melov", *strong, "--set", "train.further=[squares]")
    heads = json.loads((project / "runs/tiny/melov-s0/config.json").read_text())["heads"]
    assert list(heads["further"]) == ["squares"]
    run("train", "--variant", "melov", *strong, "--set", "train.further=[]")
    config = json.loads((project / "runs/tiny/melov-s0/config.json").read_text())
    assert config["heads"]["further"] == {}
    assert "further" not in config["heads"]["units"]
    assert load_params("params.yaml", "tiny").train.further == "all"
    assert FeatureStore.open(PATHS.further_store("squares")).attributes["width"] == 40
