import base64
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cache.fingerprint import Fingerprint
from stages.config import EvaluateConfig
from stages.datasets.records import Records
from stages.report import insight
from stages.report.cases import Marked, differing, find_cases, mark, spread
from stages.report.load_results import load_results
from stages.report.pictures import THUMBNAIL, thumbnail
from tests.support import made_runs


@pytest.mark.parametrize(
    ("sentence", "words", "marked"),
    [
        ("Lee met Lee.", "Lee", Marked("", "Lee", " met Lee.")),
        ("Leeds saw Lee.", "Lee", Marked("Leeds saw ", "Lee", ".")),
        ("at LEE's", "lee", Marked("at ", "LEE", "'s")),
        ("#LeeWins", "Lee", Marked("#", "Lee", "Wins")),
        ("a (b) c", "(b)", Marked("a ", "(b)", " c")),
        ("Nothing here.", "Lee", Marked("Nothing here.")),
        ("Nothing here.", "", Marked("Nothing here.")),
        ("", "Lee", Marked("")),
        ("कि क है", "क", Marked("कि ", "क", " है")),  # a vowel sign is no word's end
        ("Élan Élan", "E\u0301lan", Marked("", "Élan", " Élan")),
    ],
)
def test_the_mention_is_marked_as_a_word_first_then_anywhere(sentence, words, marked):
    assert mark(sentence, words) == marked
    assert marked.before + marked.mention + marked.after == sentence


def test_the_largest_differences_of_reciprocal_rank_come_first():
    ours = np.array([1, 1, 5, 2, 3, 1.5])
    theirs = np.array([9, 2, 5, 1, 400, 1])
    # 1/1 - 1/2 = 0.5, 1/3 - 1/400 = 0.33; 1/2 - 1 = -0.5, 1/1.5 - 1 = -0.33
    assert differing(ours, theirs) == ([0, 1, 4], [3, 5])


def test_equal_differences_stand_in_the_records_order():
    assert differing(np.array([1, 2, 1, 2]), np.array([2, 1, 2, 1])) == ([0, 2], [1, 3])


def load(root: Path, variants=("melov", "mimic"), most=12, **options):
    paths = made_runs.make_project(root, **options)
    records = Records.load(paths.records)
    results = load_results(paths, variants, (0, 1), records)
    return find_cases(results, records, root, most)


def test_ties_run_evenly_from_the_best_rank_to_the_worst():
    ranks = np.array([7, 1, 3, 1, 9, 2])
    rows = np.array([0, 1, 2, 3, 4])
    assert spread(ranks, rows, 3) == [1, 2, 4]
    assert spread(ranks, rows, 9) == [1, 3, 2, 0, 4]
    assert spread(ranks, rows[:0], 3) == []
    assert spread(ranks, rows, 0) == []


def test_cases_are_the_first_seeds_wins_losses_and_ties(tmp_path):
    cases = load(tmp_path)
    # melov 1 1 2 4 1 8, mimic 1 2 1 10 4 8
    assert (cases.variants, cases.seed) == (("melov", "mimic"), 0)
    assert (cases.better, cases.worse, cases.equal) == (3, 1, 2)
    assert [case.id for case in cases.wins] == ["t4", "t1", "t3"]
    assert [case.ranks for case in cases.wins] == [("1", "4"), ("1", "2"), ("4", "10")]
    assert [case.id for case in cases.losses] == ["t2"]
    assert [(case.id, case.ranks) for case in cases.ties] == [
        ("t0", ("1", "1")),
        ("t5", ("8", "8")),
    ]
    broken = cases.wins[2]
    assert broken.mention_picture.problem.startswith("picture does not decode: ")
    assert broken.entity_picture.uri
    assert broken.kind == "low_value"
    assert broken.views == ()


@pytest.mark.parametrize(("most", "sorts"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (6, (2, 1, 2))])
def test_a_third_of_the_cases_is_of_each_sort(tmp_path, most, sorts):
    cases = load(tmp_path, most=most)
    assert (len(cases.wins), len(cases.losses), len(cases.ties)) == sorts


def test_cases_hold_the_first_other_variant_against_mimic(tmp_path):
    assert load(tmp_path, variants=("mimic", "melov")).variants == ("melov", "mimic")


@pytest.mark.parametrize("variants", [("melov",), ("mimic",)])
def test_without_a_pair_there_are_no_cases(tmp_path, variants):
    assert load(tmp_path, variants=variants) is None


def test_a_data_set_without_pictures_has_cases_without_pictures(tmp_path):
    cases = load(tmp_path, kinds=False, pictures=False)
    assert {case.mention_picture.problem for case in cases.wins} == {"no picture"}
    assert {case.kind for case in cases.wins} == {""}


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "I;16"])
def test_a_thumbnail_is_a_small_jpeg_whatever_the_mode(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (400, 100)).save(path)
    found = thumbnail(path)
    assert (found.width, found.height) == (THUMBNAIL, THUMBNAIL // 4)
    kind, content = found.uri.split(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert picture.size == (found.width, found.height)


def test_a_thumbnail_is_turned_where_extraction_turns_the_picture(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (400, 100)).save(tmp_path / "a.jpg", exif=exif)
    kept, turned = (thumbnail(tmp_path / "a.jpg", exif=how) for how in ("ignore", "apply"))
    assert (kept.width, kept.height) == (turned.height, turned.width) == (160, 40)


@pytest.mark.parametrize("exif", ["apply", "ignore"])
def test_cases_show_pictures_as_the_store_was_made(tmp_path, monkeypatch, exif):
    """One whose EXIF orientation is a quarter turn."""
    paths = made_runs.make_project(tmp_path)
    records = Records.load(paths.records)
    tag = Image.Exif()
    tag[0x0112] = 6
    for path in records.pictures["path"].to_pylist():
        Image.new("RGB", (400, 100)).save(records.image_folder(tmp_path) / path, "JPEG", exif=tag)
    paths.store.mkdir()
    store = SimpleNamespace(fingerprint=Fingerprint({"exif": exif}))
    monkeypatch.setattr(insight, "open_store", lambda *_: store)
    monkeypatch.setattr(insight, "_open", lambda *_: (None, None))
    results = load_results(paths, ("melov", "mimic"), (0, 1), records)
    cases = insight.look_inside(paths, results, records, 3, EvaluateConfig()).cases
    shapes = {(p.width, p.height) for p in (case.mention_picture for case in cases.wins) if p.uri}
    assert shapes == {(160, 40) if exif == "ignore" else (40, 160)}


def test_transparent_parts_become_white(tmp_path):
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "a.png")
    content = thumbnail(tmp_path / "a.png").uri.split(",")[1]
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert min(picture.getpixel((10, 10))) > 250


def test_a_picture_that_cannot_be_shown_says_why(tmp_path):
    assert thumbnail(None).problem == "no picture"
    assert thumbnail(tmp_path / "gone.jpg").problem == "picture missing"
    (tmp_path / "empty.jpg").touch()
    assert thumbnail(tmp_path / "empty.jpg").problem.startswith("picture does not decode: ")
    Image.effect_noise((200, 200), 60).save(tmp_path / "torn.png")
    whole = (tmp_path / "torn.png").read_bytes()
    (tmp_path / "torn.png").write_bytes(whole[: len(whole) // 2])
    assert thumbnail(tmp_path / "torn.png").problem.startswith("picture does not decode: ")
