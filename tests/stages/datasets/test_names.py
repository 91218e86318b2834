import os
import unicodedata
from pathlib import Path

import pytest

from stages.datasets.findings import Findings
from stages.datasets.names import Names, Spellings
from stages.datasets.pictures import PictureTable

NFC, NFD = (unicodedata.normalize(form, "Élan café.jpg") for form in ("NFC", "NFD"))
FOLDER = unicodedata.normalize("NFD", "Größe")


def test_a_name_is_found_in_either_form_and_its_own_first():
    names = Names(frozenset([NFD, "plain.jpg"]))
    assert names.find(NFC) == NFD
    assert names.find(NFD) == NFD
    assert names.find("plain.jpg") == "plain.jpg"
    assert names.find("other.jpg") is None
    both = Names(frozenset([NFC, NFD]))
    assert [both.find(name) for name in (NFC, NFD)] == [NFC, NFD]


def test_of_several_files_that_only_look_like_it_none_is_taken():
    third = unicodedata.normalize("NFC", "É") + unicodedata.normalize("NFD", "lan café.jpg")
    assert Names(frozenset([NFD, third])).find(NFC) is None


def test_a_path_is_spelled_as_its_folders_and_its_file_are(tmp_path: Path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / NFD).touch()
    spellings = Spellings(tmp_path)
    composed = unicodedata.normalize("NFC", FOLDER)
    assert spellings.of(f"{composed}/{NFC}") == f"{FOLDER}/{NFD}"
    assert spellings.of(f"{FOLDER}/{NFC}") == f"{FOLDER}/{NFD}"
    assert spellings.of(f"{FOLDER}/{NFD}") == f"{FOLDER}/{NFD}"
    for missing in (
        f"{composed}/ö.jpg",
        f"ö/{NFC}",
        f"{composed}/{NFC}/x",
        "é\0",
        "é" * 300,
        "é/..",
    ):
        assert spellings.of(missing) == missing
    whole = str(tmp_path / composed / NFC)
    assert spellings.of(whole) == str(tmp_path / FOLDER / NFD)


def test_a_folder_that_cannot_be_listed_tells_of_no_spelling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / NFD).touch()

    def denied(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", denied)
    assert Spellings(tmp_path).of(NFC) == NFC


def test_two_spellings_of_one_file_have_one_row_and_are_counted(tmp_path: Path):
    (tmp_path / NFD).write_bytes(b"picture")
    table, findings = PictureTable(tmp_path), Findings()
    assert [table.row(name, f"record {i}") for i, name in enumerate((NFC, "a.jpg", NFD))] == [
        0,
        1,
        0,
    ]
    assert table.row(NFC, "record 3") == 0
    rows = table.build(findings).to_pylist()
    assert [(row["path"], row["status"]) for row in rows] == [(NFD, "ok"), ("a.jpg", "missing")]
    (found,) = [f for f in findings.listed() if f.code == "image-path-other-form"]
    assert found.count == 1
    assert found.examples == (f"{NFC} (record 0)",)
