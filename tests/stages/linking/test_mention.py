import json
import unicodedata
from pathlib import Path

import pytest

from cache.errors import MelovError
from stages.linking.mention import NewMention, read_mentions


def lines(*objects):
    return [json.dumps(said).encode() + b"\n" for said in objects]


def test_a_line_is_a_mention_and_blank_lines_count():
    first, second = lines({"mention": "Ada", "sentence": None}, {"mention": "B", "id": 7})
    third = lines({"mention": "C", "image": "c.png", "answer": "Q1"})[0]
    found = read_mentions([b"\xef\xbb\xbf" + first, b" \n", second, third], "m.jsonl")
    assert found == [
        NewMention("Ada"),
        NewMention("B", id="7"),
        NewMention("C", "", Path("c.png"), "4"),
    ]


def test_a_picture_is_found_by_a_path_in_another_unicode_form(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [unicodedata.normalize(form, "Ångström.png") for form in ("NFC", "NFD")]
    Path(names[1]).touch()
    said = lines(*({"mention": "A", "image": name} for name in [*names, "é.png"]))
    assert [m.image for m in read_mentions(said, "m.jsonl")] == [
        Path(names[1]), Path(names[1]), Path("é.png"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "expected an object"),
        (b"{}", "no words"),
        (b'{"mention": " "}', "no words"),
        (b'{"mention": 3}', "an integer"),
        (b'{"mention": "a", "sentance": "b"}', "did you mean 'sentence'"),
        (b'{"mention": "a\\ud800"}', "surrogate"),
    ],
)
def test_a_malformed_line_is_named_by_file_and_line(line, message):
    with pytest.raises(MelovError, match=rf"^m.jsonl:2: .*{message}"):
        read_mentions([b'{"mention": "fine"}', line], "m.jsonl")
