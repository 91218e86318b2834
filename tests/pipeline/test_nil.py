"""Mentions without an entity, from their source to an answer that may be none."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pipeline.link import main as link
from stages.datasets.records import Records
from stages.datasets.store import open_store
from stages.paths import DatasetPaths
from stages.ranking.answers import ANSWER_METRICS
from stages.ranking.top import top_entities
from stages.runs.dataset import Dataset
from stages.runs.folder import RunFolder
from stages.runs.run import Run
from stages.standards.nif import read_nif
from tests.support.tiny_project import call, own_world, run

SAID = [("valid", 6), ("test", 8), ("train", 2)]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tiny world with mentions without an entity, and its melov run evaluated."""
    folder = own_world(tmp_path_factory.getbasetemp(), tmp_path_factory.mktemp("nil"))
    with (folder / "data/tiny/raw/mentions.jsonl").open("a") as file:
        for split, n in SAID:
            for i in range(n):
                said = {"mention": f"Zed{i}", "sentence": f"Zed{i} of the {split} river"}
                image = {"image": f"pictures/m{i}.png"} if i % 2 == 0 else {}
                mention = {**said, **image, "answer": ("nil", " NIL ")[i % 2], "split": split}
                file.write(json.dumps(mention) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        before = Records.load(DatasetPaths("tiny").records)
        run("prepare", "--source", "jsonl")
        shutil.copytree("data/tiny/graph", "graph-of-before")
        for step in ("extract", "graph", "train", "evaluate"):
            run(step)
    return folder, before


@pytest.fixture
def paths(world, monkeypatch):
    monkeypatch.chdir(world[0])
    return DatasetPaths("tiny")


@pytest.fixture
def metrics(paths):
    return json.loads((paths.run("melov", 0) / "metrics.json").read_text())


def test_they_are_kept_and_nothing_else_is_another(world, paths):
    before, records = world[1], Records.load(paths.records)
    assert records.entities == before.entities
    for split, table in before.mentions.items():  # which nobody has audited
        assert records.mentions[split].drop_columns("flags") == table.drop_columns("flags")
    assert records.nil.num_rows == sum(n for _, n in SAID)
    assert len(records.nil_rows("valid")) == 6
    assert set(records.nil["answer"].to_pylist()) == {"nil", " NIL "}
    assert records.digest != before.digest
    for split in ("train", "valid", "test"):
        old, new = (
            (folder / f"{split}.npz").read_bytes()
            for folder in (world[0] / "graph-of-before", paths.graph)
        )
        assert old == new


def test_the_store_has_their_features_and_theirs_alone_were_encoded(paths):
    records, store = Records.load(paths.records), open_store(paths)
    rows = store["mentions/nil/text"].slice(0, records.nil.num_rows)
    assert len(set(rows.tolist())) == len(rows)
    n = len(store["texts/keys"])
    assert store.attributes["reused"]["texts"] == n - len(rows)
    pictures = store["mentions/nil/image"].slice(0, len(rows))
    assert ((pictures >= 0) == (records.nil["picture"].to_numpy() >= 0)).all()
    assert store["words/mentions/nil/indptr"].shape == (len(rows) + 1,)


def test_metrics_have_the_calibration_and_what_answers_are_worth(paths, metrics):
    said = metrics["probability"]
    assert said["temperature"] > 0
    assert len(said["nil"]) == 3
    assert (said["candidates"], said["precision"]) == (64, 0.95)
    for split, mentions, nil in (("valid", 12 + 6, 6), ("test", 24 + 8, 8)):
        assert (said[split]["mentions"], said[split]["nil_mentions"]) == (mentions, nil)
        assert set(ANSWER_METRICS) < said[split].keys()
    with np.load(paths.run("melov", 0) / "probabilities.npz") as arrays:
        p, nil, right, linked = (
            arrays[f"test_{name}"] for name in ("probability", "nil", "right", "linked")
        )
    assert linked.tolist() == [1] * 24 + [0] * 8
    assert not right[linked == 0].any()
    assert ((p > 0) & (p + nil <= 1 + 1e-6)).all()
    ranks = np.load(paths.run("melov", 0) / "ranks.npz")["test"]
    assert (right[:24] == (ranks == 1)).all()  # no tie here
    assert metrics["test"]["mentions"] == 24  # ranks are of mentions with an entity alone


def test_an_answer_below_the_asked_probability_is_none_and_keeps_its_candidates(paths, metrics):
    records = Records.load(paths.records)
    one = records.mentions["test"].slice(0, 1).to_pylist()[0]
    said = ["--mention", one["words"], "--sentence", one["sentence"], "--json"]
    if one["picture"] >= 0:
        name = records.pictures["path"][one["picture"]].as_py()
        said += ["--image", str(paths.raw / name)]
    sure, unsure = (
        json.loads(run("link", *said, "--min-probability", least)) for least in ("0", "1")
    )
    assert sure["answer"] == sure["entities"][0]["id"]
    assert unsure["answer"] is None
    assert {**unsure, "answer": sure["answer"]} == sure
    assert sure["calibration"] == "calibrated"
    with np.load(paths.run("melov", 0) / "probabilities.npz") as arrays:
        want, none = arrays["test_probability"][0], arrays["test_nil"][0]
    assert sure["entities"][0]["probability"] == pytest.approx(float(want), rel=1e-3)
    assert sure["nil_probability"] == pytest.approx(float(none), rel=1e-3, abs=1e-6)
    text = run("link", *said[:-1] if said[-1] == "--json" else [x for x in said if x != "--json"])
    assert re.search(r"none of them +\d+\.\d%", text)
    text = run("link", *[x for x in said if x != "--json"], "--min-probability", "1")
    assert "answer      none" in text


def test_a_run_that_is_not_evaluated_says_uncalibrated(paths, tmp_path, monkeypatch):
    folder = own_folder(paths, tmp_path)
    monkeypatch.chdir(folder)
    for name in ("metrics.json", "ranks.npz", "probabilities.npz", "predictions.csv"):
        (folder / "runs/tiny/melov-s0" / name).unlink()
    found = json.loads(run("link", "--mention", "Ada", "--json"))
    assert (found["nil_probability"], found["entities"][0]["probability"]) == (None, None)
    assert found["answer"] == found["entities"][0]["id"]
    assert found["calibration"].startswith("uncalibrated: the run is not evaluated: python -m")
    assert "uncalibrated" in run("link", "--mention", "Ada")
    result = call("link", "--mention", "Ada", "--min-probability", "0.5")
    assert result.exit_code == 1
    assert "no probability is known" in result.output


def test_metrics_of_other_weights_are_no_calibration_of_these(paths, tmp_path, monkeypatch):
    monkeypatch.chdir(own_folder(paths, tmp_path))
    run("train", "--variant", "mimic")
    run("evaluate", "--variant", "mimic")
    shutil.copy("runs/tiny/mimic-s0/metrics.json", "runs/tiny/melov-s0/metrics.json")
    result = call("link", "--mention", "Ada")
    assert result.exit_code == 1
    assert "melov-s0/metrics.json: of other weights than model.safetensors" in result.stderr
    assert "python -m pipeline.evaluate --dataset tiny --variant melov --seed 0" in result.stderr


def test_without_validation_nothing_is_calibrated_and_all_steps_say_so(
    paths, tmp_path, monkeypatch
):
    folder = own_folder(paths, tmp_path)
    monkeypatch.chdir(folder)
    raw = folder / "data/tiny/raw/mentions.jsonl"
    lines = [json.loads(line) for line in raw.read_text().splitlines()]
    kept = [x for x in lines if x["split"] != "valid" or x["answer"].strip().lower() == "nil"]
    raw.write_text("".join(json.dumps(x) + "\n" for x in kept))
    run("prepare", "--source", "jsonl")
    run("extract")
    assert "uncalibrated: validation has no mention with an entity" in run("evaluate")
    found = json.loads(run("link", "--mention", "Ada", "--json"))
    assert found["calibration"] == "uncalibrated: validation has no mention with an entity"


def test_the_knowledge_base_may_change_and_the_result_says_so(paths, tmp_path, monkeypatch):
    folder = own_folder(paths, tmp_path)
    monkeypatch.chdir(folder)
    with (folder / "data/tiny/raw/entities.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "name": "Zed of the river"}) + "\n")
    run("prepare", "--source", "jsonl")
    run("extract")
    found = json.loads(run("link", "--mention", "Zed1", "--json", "--min-probability", "0"))
    assert found["calibration"].startswith("calibrated on other records than these")
    assert found["entities"][0]["probability"] is not None


def test_verify_and_report_know_all_of_it(paths):
    run("report", "--set", "variants=[melov]")
    run("verify")
    page = (paths.report / "report.html").read_text()
    assert '<h2 id="probability">' in page
    assert 'aria-label="Risk by coverage, test. melov: area' in page
    assert "8 of 32 mentions without an entity" in " ".join(
        (paths.report / "table.txt").read_text().split()
    )
    file = paths.run("melov", 0) / "probabilities.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert "probabilities.npz: " in call("verify").output
    assert call("report", "--set", "variants=[melov]").exit_code == 1
    file.write_bytes(whole)


def own_folder(paths, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(".", folder, ignore=shutil.ignore_patterns("graph-of-before", "reports"))
    return folder


def test_the_option_takes_probabilities_alone(paths):
    result = CliRunner().invoke(
        link, ["--dataset", "tiny", "--mention", "Ada", "--min-probability", "1.5"]
    )
    assert result.exit_code == 2


@torch.inference_mode()
def test_predictions_have_a_row_for_every_mention_with_what_the_metrics_count(paths, metrics):
    records = Records.load(paths.records)
    text = (paths.run("melov", 0) / "predictions.csv").read_text(encoding="utf-8")
    rows = [*csv.DictReader(text.splitlines())]
    assert [row["split"] for row in rows] == ["valid"] * 18 + ["test"] * 32
    ids = records.entities["id"].to_pylist()
    model = Run.open(RunFolder.of(paths, "melov", 0), torch.device("cpu"))
    data = model.data(Dataset.open(paths))
    side, _ = model.model.mentions(data.inputs.batch("test", np.arange(24)))
    best = top_entities(model.model, data.cached, data.views, [side], 10, 7)
    ranks = np.load(paths.run("melov", 0) / "ranks.npz")["test"]
    said = metrics["probability"]
    answered = 0
    with np.load(paths.run("melov", 0) / "probabilities.npz") as arrays:
        likely, none = arrays["test_probability"], arrays["test_nil"]
    for i, row in enumerate(rows[18:]):
        if i < 24:
            mention = records.mentions["test"].slice(i, 1).to_pylist()[0]
            assert (row["id"], row["gold"]) == (mention["id"], mention["answer"])
            assert row["gold_name"] == records.entities["name"][mention["gold"]].as_py()
            assert float(row["rank"]) == ranks[i]
            assert row["flags"].split() == mention["flags"]
            assert [row[f"entity_{k}"] for k in range(1, 11)] == [ids[c.entity] for c in best[i]]
            for k, candidate in enumerate(best[i], 1):
                assert float(row[f"score_{k}"]) == pytest.approx(candidate.score, abs=1e-4)
        else:
            assert (row["gold"], row["gold_name"], row["rank"]) == ("", "", "")
        assert float(row["probability_1"]) == pytest.approx(float(likely[i]), abs=1e-5)
        assert float(row["nil_probability"]) == pytest.approx(float(none[i]), abs=1e-5)
        sure = said["threshold"] is not None and likely[i] >= said["threshold"] - 1e-7
        assert row["answer"] == (row["entity_1"] if sure else "")
        answered += row["answer"] != ""
    assert answered == said["test"]["answered"]


@pytest.mark.parametrize(("variant", "precision"), [("tfidf", "0.02"), ("melov", "0.95")])
def test_neleval_counts_as_the_metrics_do(paths, tmp_path, monkeypatch, variant, precision):
    folder = own_folder(paths, tmp_path)
    monkeypatch.chdir(folder)
    if variant != "melov":
        run("train", "--variant", variant)
    asked = ["--variant", variant, "--set", f"evaluate.precision={precision}"]
    files = [
        line
        for line in run("evaluate", "--export", "neleval", *asked).splitlines()
        if line.startswith("exports/")
    ]
    assert len(files) == 4
    metrics = folder / f"runs/tiny/{variant}-s0/metrics.json"
    said = json.loads(metrics.read_text())["probability"]
    for split in ("valid", "test"):
        found = scored(*(folder / f"exports/tiny/{variant}-s0/neleval/{split}.{x}.tab"
                         for x in ("gold", "system")))  # fmt: skip
        want = said[split]
        assert (want["answered"] > 0) == (variant == "tfidf")
        for name, ours in (("precis", "precision"), ("recall", "recall"), ("fscore", "f1")):
            assert found["strong_link_match"][name] == pytest.approx(want[ours] or 0, abs=6e-4)
        right = want["recall"] * (want["mentions"] - want["nil_mentions"])
        right += want["nil_recall"] * want["nil_mentions"]
        micro = found["strong_all_match"]["fscore"]
        assert micro == pytest.approx(right / want["mentions"], abs=6e-4)


def scored(gold, system):
    """neleval's table by measure. It was written for Python 3.9 and earlier."""
    code = (
        "import collections, collections.abc, sys\n"
        "for name in ('Sequence', 'Mapping', 'Iterable', 'Callable'):\n"
        "    setattr(collections, name, getattr(collections.abc, name))\n"
        "from neleval.__main__ import main\n"
        "main(['evaluate', '-m', 'strong_link_match', '-m', 'strong_all_match', *sys.argv[1:]])\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, "-g", str(gold), str(system)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    rows = csv.DictReader(found.splitlines(), delimiter="\t")
    return {row.pop("measure"): {k: float(v) for k, v in row.items()} for row in rows}


def test_an_export_in_nif_has_every_mention(paths, tmp_path, monkeypatch):
    monkeypatch.chdir(own_folder(paths, tmp_path))
    run("evaluate", "--export", "nif")
    for split, n in (("valid", 18), ("test", 32)):
        for kind in ("gold", "system"):
            file = Path(f"exports/tiny/melov-s0/nif/{split}.{kind}.ttl")
            _, texts = read_nif(file.read_bytes())
            assert sum(len(text.phrases) for text in texts) == n
