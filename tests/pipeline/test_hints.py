"""What an error advises is done here, to the letter; then the command succeeds."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numcodecs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.mimic_folder import entity, mention, write_json, write_mimic
from tests.support.small_project import build_bert, build_clip, write_project
from tests.support.tiny_project import call

RAW = Path("data/tiny/raw")
ENTITIES = [{"id": "a", "name": "Ångström", "description": None}, {"id": "b", "name": "B"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ENTITIES)
MENTIONS = [{"mention": "A", "sentence": f"S {i}.", "answer": "a"} for i in range(9)]


def hint_of(*command: str) -> str:
    """The last lines of the one error that the command ends with."""
    result = call(*command)
    assert result.exit_code == 1, result.output
    assert result.stderr.count("error: ") == 1
    _, *hint = result.stderr.strip().splitlines()
    return "\n".join(hint).strip()


def succeeds(*command: str) -> None:
    result = call(*command)
    assert result.exit_code == 0, result.output


def shell(line: str) -> None:
    """A line of the hint, with this very Python."""
    line = line.replace("python ", f"{shlex.quote(sys.executable)} ", line.startswith("python "))
    subprocess.run(line, shell=True, check=True, timeout=120)


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A knowledge base of one's own in a new project, the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("prepare: {source: jsonl}\n")
    RAW.mkdir(parents=True)
    (RAW / "entities.jsonl").write_text(LINES, encoding="utf-8")
    write_mentions(MENTIONS)
    return RAW


def write_mentions(rows: list[dict]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (RAW / "mentions.jsonl").write_text(text, encoding="utf-8")


def names() -> list[str]:
    return pq.read_table("data/tiny/records/entities.parquet")["name"].to_pylist()


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("entities.jsonl", data)
    return file.getvalue()


def parquet(data: bytes) -> bytes:
    file = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ENTITIES), file)
    return file.getvalue().to_pybytes()


UTF8 = LINES.encode()
OTHERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "UTF-16": ("iconv", lambda data: data.decode().encode("utf-16")),
    "UTF-16, big end first": (
        "iconv",
        lambda data: b"\xfe\xff" + data.decode().encode("utf-16-be"),
    ),
    "UTF-16 without a mark": ("iconv", lambda data: data.decode().encode("utf-16-le")),
    "UTF-16-BE without a mark": ("iconv", lambda data: data.decode().encode("utf-16-be")),
    "UTF-32": ("iconv", lambda data: data.decode().encode("utf-32")),
    "Windows-1252": ("iconv", lambda data: data.decode().encode("cp1252")),
    "gzip": ("gunzip", lambda data: gzip.compress(data, mtime=0)),
    "bzip2": ("bunzip2", bz2.compress),
    "xz": ("unxz", lzma.compress),
    "zstd": ("unzstd", lambda data: numcodecs.Zstd().encode(data)),
    "zip": ("unzip", zipped),
    "Parquet": ("python", parquet),
    "one list": ("jq", lambda data: json.dumps(ENTITIES, indent=2).encode()),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_of_another_kind_is_converted_by_the_command_that_is_told(raw: Path, kind: str):
    tool, converted = OTHERS[kind]
    file = raw / "entities.jsonl"
    file.write_bytes(converted(UTF8))
    hint = hint_of("prepare")
    assert shutil.which(tool) or tool == "python", f"install {tool} to follow the hint: {hint}"
    line = hint.partition(": ")[2]
    assert line.startswith(tool)
    file.rename("OLD")
    line = line.replace(str(file.absolute()), "OLD").replace(str(file), "OLD")
    shell(line)
    Path("NEW").rename(file)
    succeeds("prepare")
    assert names() == ["Ångström", "B"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>404</html>", "the link to the file itself"),
        (b'<?xml version="1.0"?><Error/>', "the link to the file itself"),
    ],
)
@pytest.mark.parametrize("name", ["entities.jsonl", "entities.csv", "mentions.jsonl"])
def test_what_was_never_downloaded_is_told_by_its_first_bytes(raw: Path, name, data, said):
    (raw / "entities.jsonl").rename(raw / name)
    if name == "mentions.jsonl":
        (raw / "entities.jsonl").write_bytes(UTF8)
    (raw / name).write_bytes(data)
    assert said in hint_of("prepare")


def test_json_lines_in_a_release_of_lists_become_one(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    write_mimic(RAW, [entity(0), entity(1), entity(2)])
    rows = json.loads((RAW / "TINY_train.json").read_text()) * 2
    (RAW / "TINY_train.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = hint_of("prepare").partition(": ")[2]
    shell(line)
    Path("NEW").rename(RAW / "TINY_train.json")
    succeeds("prepare")


def follow_setting(hint: str, *command: str) -> None:
    """`--set KEY=VALUE` of a hint, added to the command."""
    (setting,) = re.findall(r"--set (\S+=[\w.\[\]]+)", hint)
    succeeds(*command, "--set", setting)


@pytest.mark.parametrize("source", ["jsonl", "mimic", "melbench"])
def test_a_missing_answer_is_left_out_by_the_setting_that_is_told(raw: Path, source: str):
    if source == "jsonl":
        write_mentions([*MENTIONS, {"mention": "C", "answer": "c"}])
    else:
        shutil.rmtree(raw)
    if source == "mimic":
        write_mimic(raw, train=[mention("Q0"), mention("Q99")])
    if source == "melbench":
        raw.mkdir()
        said = {"sentence": "S.", "mentions": "m", "entities": "T"}
        write_json(raw / "x.json", {"1": {**said, "answer": "Q1"}, "2": {**said, "answer": " "}})
    command = ("prepare", "--source", source)
    follow_setting(hint_of(*command), *command)


def test_of_several_files_one_is_named_as_input(raw: Path):
    shutil.rmtree(raw)
    raw.mkdir()
    record = {"sentence": "S.", "mentions": "m", "entities": "T", "answer": "Q1"}
    for name in ("a.json", "b.json"):
        write_json(raw / name, {"1": record})
    command = ("prepare", "--source", "melbench")
    assert hint_of(*command) == "pass the file itself as --input"
    succeeds(*command, "--input", str(raw / "a.json"))


def test_an_uncommonly_packed_archive_is_unzipped_and_named_as_input(raw: Path):
    record = {"sentence": "S.", "mentions": "m", "entities": "T", "answer": "Q1"}
    with zipfile.ZipFile("x.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("x.json", json.dumps({"1": record}))
    command = ("prepare", "--source", "melbench", "--input")
    assert hint_of(*command, "x.zip") == "unzip it, and pass the .json as --input"
    with zipfile.ZipFile("x.zip") as archive:  # unzip is not everywhere built with bzip2
        archive.extractall()
    succeeds(*command, "x.json")


def test_every_mention_gets_a_split_or_none(raw: Path):
    write_mentions([{**MENTIONS[0], "split": "train"}, *MENTIONS[1:]])
    assert hint_of("prepare") == "give every mention a split, or none"
    write_mentions([{**row, "split": "train"} for row in MENTIONS])
    succeeds("prepare")
    write_mentions(MENTIONS)
    succeeds("prepare")


@pytest.mark.timeout(300)
def test_the_hints_lead_from_nothing_to_a_report(tmp_path: Path, monkeypatch):
    """Each error names the one command that is missing; whoever runs it comes to the report."""
    monkeypatch.chdir(tmp_path)
    paths = write_project(tmp_path, build_clip(tmp_path / "clip"))
    with Path("params.yaml").open("a") as params:
        params.write("train: {epochs: 1}\nvariants: [melov]\n")
    assert paths.records.exists()
    wanted = ("report", "--dataset", "tiny")
    ran: list[str] = []
    waiting = [wanted]
    for _ in range(20):
        step, *arguments = waiting[-1]
        result = call(step, *arguments[2:])
        if result.exit_code == 0:
            ran.append(step)
            waiting.pop()
            if not waiting:
                break
            continue
        told = re.findall(r"python -m pipeline\.(\w+) ([^\n,;]*)", result.stderr)
        assert told, result.stderr
        name, given = told[0]
        following = (name, *shlex.split(given))
        assert following[1:3] == ("--dataset", "tiny"), result.stderr
        assert following not in waiting, result.stderr
        waiting.append(following)
    assert ran == ["extract", "graph", "train", "evaluate", "report"]


@pytest.mark.timeout(300)
def test_settings_that_an_encoder_cannot_have_are_set_as_told(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, build_clip(tmp_path / "clip"))
    follow_setting(hint_of("extract", "--set", "extract.max_tokens=4000"), "extract")
    build_bert(tmp_path / "bert")
    command = ("extract", "--force", "--set", "extract.text_encoder=bert")
    for setting in re.findall(r"--set (\S+)", hint_of(*command)):
        succeeds(*command, "--set", setting)


def test_an_input_that_is_not_there_is_told_with_the_whole_command(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").touch()
    told = hint_of("extract")
    assert told == "python -m pipeline.prepare --dataset tiny --input PATH"
    write_mimic(tmp_path / "release")
    _, *arguments = shlex.split(told.replace("PATH", "release"))[2:]
    succeeds("prepare", *arguments[2:])
