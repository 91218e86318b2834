"""GET /entities, /pictures, /examples, /health, the page and the description."""

from __future__ import annotations

import io
import os
import re
import shutil

import pytest
from PIL import Image

from stages.datasets.decoding.picture import PictureError
from stages.datasets.records import Records
from stages.paths import DatasetPaths
from stages.serving.app import PAGE
from stages.serving.served import Pictures, failed_pictures
from tests.stages.serving.test_link_route import refused


def test_entities_are_found_as_the_linker_finds_them(client, served):
    known = served.linker.entities
    for query in ("E3", "ada", "a", "nobody"):
        found = client.get("/entities", params={"query": query, "limit": 7}).json()
        assert found["total"] == len(known)
        assert [e["id"] for e in found["entities"]] == [e.id for e in known.search(query, 7)]
    first = client.get("/entities", params={"limit": 3}).json()["entities"]
    assert [e["id"] for e in first] == ["E0", "E1", "E2"]
    assert [e["has_picture"] for e in first] == [served.has_picture(e["id"]) for e in first]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", f"query={'x' * 1001}"])
def test_a_question_that_is_not_as_described_is_refused(client, query):
    refused(client.get(f"/entities?{query}"))


def test_pictures_come_by_id(client, project):
    records = Records.load(DatasetPaths("tiny", project).records)
    for row, picture in enumerate(records.entities["picture"].to_pylist()):
        answer = client.get(f"/pictures/entities/E{row}")
        if picture < 0:
            refused(answer, 404)
            continue
        assert answer.headers["content-type"] == "image/jpeg"
        assert max(Image.open(io.BytesIO(answer.content)).size) <= 320
    mention = client.get("/examples").json()["examples"][0]
    assert client.get(f"/pictures/mentions/{mention['picture']}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "entities/E999", "entities/", "mentions/E0", "entities/..%2f..%2f..%2fetc%2fpasswd",
        "entities/%00", "entities/../../raw/pictures/e0.png", "entities/" + "x" * 10_000,
    ],
)  # fmt: skip
def test_no_path_leads_to_another_file(client, path):
    refused(client.get(f"/pictures/{path}"), 404)


def test_another_kind_of_picture_is_refused(client):
    refused(client.get("/pictures/raw/E0"))


def test_a_picture_outside_of_the_folder_is_not_shown(project, tmp_path):
    records = Records.load(DatasetPaths("tiny", project).records)
    root, outside = tmp_path / "raw", tmp_path / "secret.png"
    shutil.copytree(records.image_folder(project), root)
    pictures = Pictures(records, root, "ignore")
    assert pictures.jpeg("entities", "E0")
    path = root / records.pictures["path"][records.entities["picture"][1].as_py()].as_py()
    os.rename(path, outside)
    os.symlink(outside, path)
    with pytest.raises(PictureError, match="outside"):
        pictures.jpeg("entities", "E1")
    os.remove(path)
    with pytest.raises(PictureError):
        pictures.jpeg("entities", "E1")


def test_examples_are_test_mentions_whose_words_stand_where_they_say(client, project):
    found = client.get("/examples").json()["examples"]
    assert len(found) > 10
    records = Records.load(DatasetPaths("tiny", project).records)
    test = {(m["sentence"], m["words"], m["answer"]) for m in records.mentions["test"].to_pylist()}
    for e in found:
        assert (e["text"], e["text"][e["start"] : e["end"]], e["answer"]) in test


def test_health_says_what_is_served(client, served):
    found = client.get("/health").json()
    about = served.linker.about
    assert found["status"] == "ok"
    assert (found["dataset"], found["variant"], found["seed"]) == ("tiny", "melov", 3)
    assert found["weights"] == about.weights
    assert found["entities"] == 28
    assert found["source"] == "data set tiny"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/link", 405), ("DELETE", "/entities", 405), ("GET", "/nothing", 404),
     ("GET", "/page/../app.py", 404), ("GET", "/page/%2e%2e/app.py", 404), ("POST", "/", 405)],
)  # fmt: skip
def test_what_is_not_there_is_a_problem_document(client, method, path, status):
    refused(client.request(method, path), status)


def test_the_page_asks_nobody_else_and_starts_nothing_inline(client):
    page = client.get("/").text
    assert page == (PAGE / "index.html").read_text(encoding="utf-8")
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy
    for file in PAGE.iterdir():
        text = file.read_text(encoding="utf-8")
        assert client.get(f"/page/{file.name}").text == text
        addresses = set(re.findall(r"""https?://[^\s"'<>]+""", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page)


def test_the_description_is_shown_without_a_network(client):
    docs = client.get("/docs").text
    assert not re.search(r"(src|href)=.https?://", docs)
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', docs):
        assert client.get(asset).status_code == 200, asset


def test_every_schema_that_the_description_names_is_in_it(client):
    described = client.get("/openapi.json").json()
    named = set(re.findall(r"#/components/schemas/(\w+)", str(described)))
    assert named <= described["components"]["schemas"].keys()
    assert {"LinkRequest", "Span", "ProblemDocument", "LinkResponse"} <= named
    assert described["components"]["schemas"]["LinkRequest"]["examples"]


def test_a_picture_that_extraction_could_not_decode_is_not_promised(project):
    records = Records.load(DatasetPaths("tiny", project).records)
    path = records.pictures["path"][records.entities["picture"][0].as_py()].as_py()
    pictures = Pictures(records, records.image_folder(project), "ignore", {path})
    assert not pictures.has("entities", "E0")
    assert pictures.has("entities", "E1")


def test_failed_pictures_are_read_where_extraction_has_told_of_them(tmp_path):
    paths = DatasetPaths("tiny", tmp_path)
    assert failed_pictures(paths) == set()
    paths.extract.mkdir(parents=True)
    file = paths.extract / "failed_pictures.csv"
    file.write_text("path,reason,records,first_record\na.jpg,empty file,1,entity E0\n")
    assert failed_pictures(paths) == {"a.jpg"}
    file.write_text("nothing of it\nx\n")
    assert failed_pictures(paths) == set()
