"""POST /link."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from PIL import Image

from pipeline import Linker, Mention
from pipeline.train import main as train
from stages.serving.app import make_app
from stages.serving.schema import SPANS, TEXT, WORDS
from stages.serving.served import Served
from tests.stages.serving.conftest import ADDRESS, ready

TEXT_OF = "the harbour of Ada and Bo"
SPAN = {"start": 15, "end": 18}
JSON = {"content-type": "application/json"}


def asked(client: TestClient, **more: object) -> dict:
    answer = client.post("/link", json={"text": TEXT_OF, "mentions": [SPAN], **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, status: int = 422) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


@pytest.fixture(scope="module")
def picture(project: Path) -> bytes:
    return sorted((project / "data/tiny/raw/pictures").iterdir())[0].read_bytes()


def plain(linker: Linker, **more: object) -> dict:
    (found,) = linker.link([Mention(sentence=TEXT_OF, **SPAN, **more)], top=5)
    return json.loads(json.dumps(found.to_dict()))


@pytest.mark.parametrize("pictured", [False, True])
def test_the_service_answers_as_the_linker_does(client, served, picture, pictured):
    image = picture if pictured else None
    want = plain(served.linker, image=image)
    encoded = base64.b64encode(picture).decode() if pictured else None
    (found,) = asked(client, image=encoded)["mentions"]
    assert found["text"] == "Ada"
    assert (found["start"], found["end"]) == (15, 18)
    assert found["has_image"] is pictured
    for name in ("alpha", "neighbours", "nil_probability", "calibration", "warnings", "answer"):
        assert found[name] == want[name], name
    has = [e.pop("has_picture") for e in found["entities"]]
    assert found["entities"] == want["entities"]
    assert has == [served.has_picture(e["id"]) for e in found["entities"]]


def test_a_form_is_answered_as_json_is(client, picture):
    want = asked(client, image=base64.b64encode(picture).decode(), top=3)
    form = {"text": TEXT_OF, "start": "15", "end": "18", "top": "3"}
    found = client.post("/link", data=form, files={"image": ("a.png", picture, "image/png")})
    assert found.status_code == 200, found.text
    assert found.json() == want
    as_uri = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    assert asked(client, image=as_uri, top=3) == want


def test_a_form_may_leave_the_picture_out(client):
    form = {"text": TEXT_OF, "start": "15", "end": "18"}
    found = client.post("/link", data=form, files={"image": ("", b"", "image/png")})
    assert found.status_code == 200, found.text
    assert found.json() == asked(client)


def test_mentions_come_back_in_their_order_with_their_ids(client):
    spans = [{"start": 23, "end": 25, "id": "second"}, {**SPAN, "id": "first"}]
    found = client.post("/link", json={"text": TEXT_OF, "mentions": spans, "top": 1}).json()
    assert [m["id"] for m in found["mentions"]] == ["second", "first"]
    assert [m["text"] for m in found["mentions"]] == ["Bo", "Ada"]
    alone = [asked(client, mentions=[span], top=1)["mentions"][0] for span in spans]
    for one, other in zip(found["mentions"], alone, strict=True):
        assert one["entities"][0]["id"] == other["entities"][0]["id"]
        assert one["entities"][0]["score"] == pytest.approx(other["entities"][0]["score"], abs=1e-4)


def test_offsets_are_unicode_characters(client):
    text = "\N{GRINNING FACE}\N{GRINNING FACE} Ada"
    found = client.post("/link", json={"text": text, "mentions": [{"start": 3, "end": 6}]})
    assert found.json()["mentions"][0]["text"] == "Ada"


def test_of_a_long_text_what_stands_around_the_mention_is_read(client, served):
    before = "Nothing to see here at all. " * 100
    text = f"{before}The harbour of Ada is old. {before}"
    start = text.index("Ada")
    span = {"start": start, "end": start + 3}
    (found,) = client.post("/link", json={"text": text, "mentions": [span]}).json()["mentions"]
    context = text[found["context_start"] : found["context_end"]]
    assert "The harbour of Ada is old." in context
    assert len(context) <= 500
    place = context.index("Ada")
    (want,) = served.linker.link([Mention(sentence=context, start=place, end=place + 3)])
    assert [e["id"] for e in found["entities"]] == [e.id for e in want.entities]


def test_below_the_probability_that_is_asked_for_the_answer_is_none(client):
    sure = asked(client, min_probability=0)["mentions"][0]
    assert sure["answer"] == sure["entities"][0]["id"]
    unsure = asked(client, min_probability=1)["mentions"][0]
    assert unsure["answer"] is None
    assert unsure["entities"] == sure["entities"]


def test_who_asks_at_the_same_time_gets_what_is_theirs(client):
    spans = [{"start": 15, "end": 18}, {"start": 23, "end": 25}]
    want = [asked(client, mentions=[span])["mentions"][0] for span in spans]
    found: list[dict] = [{}] * 24

    def ask(i: int) -> None:
        found[i] = asked(client, mentions=[spans[i % 2]], top=1 + i % 5)["mentions"][0]

    threads = [threading.Thread(target=ask, args=[i]) for i in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, one in enumerate(found):
        ids = [e["id"] for e in want[i % 2]["entities"]]
        assert [e["id"] for e in one["entities"]] == ids[: 1 + i % 5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": ""}, "text"),
        ({"text": "x" * (TEXT + 1)}, "text"),
        ({"text": "\ud800 Ada"}, None),
        ({"text": 7}, "text"),
        ({"mentions": []}, "mentions"),
        ({"mentions": [SPAN] * (SPANS + 1)}, "mentions"),
        ({"mentions": [SPAN] * 10_000}, "mentions"),
        ({"mentions": [{"start": 15, "end": 99}]}, "99 leads out of the text, which has 25"),
        ({"mentions": [{"start": -1, "end": 3}]}, "mentions.0.start"),
        ({"mentions": [{"start": 5, "end": 5}]}, "holds nothing"),
        ({"mentions": [{"start": 11, "end": 12}], "text": "the harbour  "}, "holds no words"),
        ({"mentions": [{"start": 0, "end": WORDS + 1}], "text": "x" * 2000}, "longer than"),
        ({"mentions": [{"start": 1.5, "end": 3}]}, "mentions.0.start"),
        ({"mentions": [{"start": 10**30, "end": 10**30}]}, "mentions.0.start"),
        ({"top": 0}, "top"),
        ({"top": 101}, "top"),
        ({"min_probability": 1.1}, "min_probability"),
        ({"min_probability": True}, "min_probability"),
        ({"min_probability": "0.5"}, "min_probability"),
        ({"top": "5"}, "top"),
        ({"mentions": [{"start": "0", "end": 3}]}, "mentions.0.start"),
        ({"mentions": [{"start": False, "end": 3}]}, "mentions.0.start"),
        ({"min_probabilty": 0.5}, "min_probabilty"),
        ({"image": "not base64!"}, "image: not in base64"),
        ({"image": ""}, "image: not readable: empty file"),
        ({"image": base64.b64encode(b"%!PS no picture").decode()}, "image: not readable"),
    ],
)
def test_a_request_that_is_not_as_described_is_told_where(client, change, said):
    body = {"text": TEXT_OF, "mentions": [SPAN], **change}
    answer = client.post("/link", content=json.dumps(body), headers=JSON)
    if said is None:
        assert refused(answer)
    else:
        assert said in refused(answer)["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"{", b"\xff\xfe{}", b'{"text": NaN}', b"[" * 100_000,
        b'{"text": "Ada", "mentions": [{"start": 0, "end": 3}], "min_probability": NaN}',
    ],
    ids=range(8),
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(client, body):
    refused(client.post("/link", content=body, headers=JSON))


@pytest.mark.parametrize("kind", ["text/plain", "", "application/xml"])
def test_a_body_of_another_kind_is_refused(client, kind):
    refused(client.post("/link", content=b"Ada", headers={"content-type": kind}), 415)


@pytest.mark.parametrize(
    ("data", "files", "said"),
    [
        ({"text": "Ada", "start": "0"}, {}, "start and end go together"),
        ({"text": "Ada", "start": "x", "end": "3"}, {}, "mentions.0.start"),
        ({"text": "Ada", "start": "0.0", "end": "3"}, {}, "mentions.0.start"),
        ({"text": "Ada", "start": "0", "end": "+3"}, {}, "mentions.0.end"),
        ({"text": "Ada", "start": "0", "end": "3", "top": " 5"}, {}, "top"),
        ({"text": "Ada", "start": "0", "end": "3", "min_probability": "true"}, {}, "min_probab"),
        ({"text": "Ada", "start": "0", "end": "3", "min_probability": "1e999"}, {}, "min_probab"),
        ({"text": "Ada", "start": "0", "end": "3", "image": "photo.jpg"}, {}, "expected a file"),
        ({"text": ["Ada", "Bo"], "start": "0", "end": "3"}, {}, "stands twice"),
        ({"text": "Ada", "start": "0", "end": "3", "more": "x"}, {}, "more"),
        ({"text": "Ada", "start": "0", "end": "3"}, {"photo": ("a", b"x")}, "has the name 'image'"),
        ({"text": "Ada", "start": "0", "end": "3"}, {"image": ("a", b"x")}, "not readable"),
    ],
)
def test_a_form_that_is_not_as_described_is_told_where(client, data, files, said):
    files = files or {"image": ("", b"", "image/png")}
    assert said in refused(client.post("/link", data=data, files=files))["detail"]


@pytest.mark.parametrize(
    ("rest", "body"),
    [
        ("", b"--x\r\nnothing"),
        ("; boundary=", b"--x\r\nnothing"),
        ("; boundary=x", b"--x\r\nnothing"),
        ("; boundary=x", b"--x\r\nTrue--x--\r\n"),
        ("; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\nAda\r\n--x--\r\n"),
        ("; boundary=x; charset=none", b"--x\r\n\xff: \xff\r\n\r\nAda\r\n--x--\r\n"),
    ],
    ids=["no boundary", "empty boundary", "ends", "no header", "no name", "no characters"],
)
def test_a_form_that_is_none_is_refused(client, rest, body):
    kind = {"content-type": f"multipart/form-data{rest}"}
    refused(client.post("/link", content=body, headers=kind))


def test_a_bomb_is_refused_and_the_service_goes_on(client):
    file = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(file, "PNG")
    said = base64.b64encode(file.getvalue()).decode()
    answer = client.post("/link", json={"text": TEXT_OF, "mentions": [SPAN], "image": said})
    assert "too large" in refused(answer)["detail"]
    assert asked(client)


def test_an_uncalibrated_run_refuses_a_probability(project):
    with contextlib.chdir(project):
        more = ["--variant", "no-inter", "--seed", "7", "--set", "train.epochs=1"]
        assert CliRunner().invoke(train, ["--dataset", "tiny", *more]).exit_code == 0
    served = Served(Linker.load(project / "runs/tiny/no-inter-s7"), "test")
    with TestClient(make_app(ready(served)), base_url=ADDRESS) as client:
        said = refused(
            client.post("/link", json={"text": TEXT_OF, "mentions": [SPAN], "min_probability": 0.5})
        )
        assert "no probability is known" in said["detail"]
        assert asked(client)["mentions"][0]["nil_probability"] is None
        assert client.get("/examples").json() == {"examples": []}
