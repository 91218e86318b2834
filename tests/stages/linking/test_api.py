"""Linking from Python, from any folder."""

from __future__ import annotations

import builtins
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

import pipeline
from cache.errors import MelovError
from pipeline import Linker, Mention
from stages.datasets.records import Records
from stages.linking import linker as core
from stages.linking.mention import NewMention
from tests.stages.linking.test_linker import PATHS, new_mentions, open_linker

ROOT = Path(__file__).parents[3]


@pytest.fixture
def elsewhere(root, tmp_path, monkeypatch) -> Linker:
    """A linker that was opened in a folder that has nothing to do with the project."""
    monkeypatch.chdir(tmp_path)
    return Linker.load(root / "runs/tiny/melov-s0")


def mentions(root: Path) -> list[Mention]:
    return [
        Mention(m.words, m.sentence, image=None if m.image is None else root / m.image, id=m.id)
        for m in new_mentions()
    ]


def test_a_run_that_is_opened_from_elsewhere_links_as_in_its_project(
    root, elsewhere, monkeypatch, tmp_path
):
    monkeypatch.chdir(root)
    asked, want = mentions(root), list(open_linker().link(new_mentions(), top=3))
    monkeypatch.chdir(tmp_path)
    found = list(elsewhere.link(asked, top=3))
    for one, other in zip(found, want, strict=True):
        mine, theirs = one.to_dict(), other.to_dict()
        for a, b in zip(mine.pop("entities"), theirs.pop("entities"), strict=True):
            assert a.pop("units") == pytest.approx(b.pop("units"), abs=1e-4)
            assert a == pytest.approx(b, abs=1e-4)
        assert mine == theirs
    assert found[0].entities[0].score >= found[0].entities[1].score


def test_a_picture_may_be_a_path_bytes_or_an_image(root, elsewhere):
    file = next((root / "data/tiny/raw/pictures").glob("*.png"))
    with Image.open(file) as opened:
        opened.load()
        kinds = [file, str(file), file.read_bytes(), opened]
        asked = [Mention("Ada", image=image) for image in kinds]
        first, *others = elsewhere.link(asked, top=28)
    assert first.has_image
    for one in others:
        assert {**one.to_dict(), "id": "1"} == first.to_dict()
    (broken,) = elsewhere.link([Mention("Ada", image=b"no picture")])
    assert "the picture: not readable" in broken.warnings[0]


def test_words_are_given_or_cut_out_of_the_sentence(elsewhere):
    sentence = "At the river Ada waits."
    assert Mention(sentence=sentence, start=13, end=16).text == "Ada"
    one, other = elsewhere.link(
        [Mention("Ada", sentence, id="x"), Mention(sentence=sentence, start=13, end=16, id="x")]
    )
    assert one == other
    for wrong, said in {
        "outside of the sentence": {"start": 13, "end": 99},
        "lies outside": {"start": -1, "end": 3},
        "go together": {"start": 3},
        "is not the span's": {"text": "Bo", "start": 13, "end": 16},
    }.items():
        with pytest.raises(ValueError, match=wrong):
            Mention(**{"sentence": sentence, **said})
    with pytest.raises(ValueError, match="no words"):
        Mention(sentence=sentence)


def test_a_mention_has_the_limits_of_a_line_of_json(elsewhere):
    long, fine = Mention("Ada " * 50_000), Mention("Ada", id="x" * 20_000)
    (found,) = elsewhere.link([long], top=1)
    assert "the mention is cut at 100,000 characters" in found.warnings
    with pytest.raises(MelovError, match="mention 2: field 'id' has 20,000 characters"):
        list(elsewhere.link([long, fine]))
    with pytest.raises(MelovError, match="mention 1: field 'sentence' holds a lone surrogate"):
        list(elsewhere.link([Mention("Ada", "\ud800")]))


def test_a_stream_is_taken_as_it_is_needed(elsewhere, monkeypatch):
    monkeypatch.setattr(core, "MENTIONS_AT_ONCE", 2)
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield Mention("Ada")

    found = elsewhere.link(endless(), top=1)
    ids = [next(found).id for _ in range(3)]
    assert ids == ["1", "2", "3"]
    assert len(taken) == 4


def test_threads_share_a_linker(root, elsewhere, monkeypatch):
    monkeypatch.chdir(root)
    asked = mentions(root)[:6]
    want = [one.to_dict() for one in elsewhere.link(asked)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: list(elsewhere.link(asked)), range(8)))
    for one in found:
        assert [linked.to_dict() for linked in one] == want


def test_entities_are_found_by_id_and_by_name(root, elsewhere):
    records = Records.load(root / PATHS.records)
    entities = elsewhere.entities
    assert len(entities) == records.entities.num_rows
    assert [entity.id for entity in entities] == records.entities["id"].to_pylist()
    assert entities["E3"].name == records.entities["name"][3].as_py()
    assert "E3" in entities
    assert "E99" not in entities
    with pytest.raises(KeyError, match="no entity has the id"):
        entities["E99"]
    assert [e.id for e in entities.search("E3")] == ["E3"]
    ada = [e.name for e in entities.search("ADA")]
    assert ada == [name for name in records.entities["name"].to_pylist() if "Ada" in name]
    assert entities.search("a b", limit=1)[0].name == "Ada B"
    assert entities.search("  ") == []


def test_a_result_is_plain_values_and_a_frame(elsewhere):
    (found,) = elsewhere.link([Mention("Ada")], top=4)
    frame = found.to_frame()
    assert list(frame.columns) == [
        "rank", "id", "name", "score", "probability", "text", "vision", "cross"
    ]  # fmt: skip
    assert frame["id"].tolist() == [e["id"] for e in found.to_dict()["entities"]]


def test_without_pandas_a_frame_says_what_to_install(elsewhere, monkeypatch):
    (found,) = elsewhere.link([Mention("Ada")])
    real = builtins.__import__

    def without(name, *rest):
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MelovError, match="pandas is not installed"):
        found.to_frame()


def test_what_is_no_run_is_told(root, tmp_path):
    for folder in (tmp_path, root / "runs/tiny", root / "data/tiny/melov-s0"):
        with pytest.raises(MelovError, match="no run's folder"):
            Linker.load(folder)
    with pytest.raises(MelovError, match="no trained run"):
        Linker.load(root / "runs/tiny/melov-s9")


def test_importing_the_package_imports_no_torch_and_offers_two_names(tmp_path):
    code = "import sys, pipeline; assert 'torch' not in sys.modules; print(pipeline.__all__)"
    command = [sys.executable, "-c", code]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "['Linker', 'Mention']\n", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pipeline.nothing  # noqa: B018
    assert NewMention("a").id == "1"


def test_the_readmes_lines_run(root, monkeypatch, capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(from pipeline import .*?)```", text, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) == 7
    monkeypatch.chdir(root)
    exec(code.replace("runs/demo/melov-s0", "runs/tiny/melov-s0"), {})
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
