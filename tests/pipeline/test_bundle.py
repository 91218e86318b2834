"""The commands that write, open and check a bundle."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.bundle import main as bundle
from pipeline.link import main as link
from pipeline.train import main as train
from pipeline.transfer import main as transfer
from pipeline.verify import main as verify
from tests.support.bundles import flip
from tests.support.tiny_world import tiny_world

RUN = ["--dataset", "tiny", "--variant", "no-inter", "--seed", "4"]


def call(main, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tiny_world(tmp_path_factory.getbasetemp())
    with contextlib.chdir(root):
        result = call(train, *RUN, "--set", "train.epochs=1")
    assert result.exit_code == 0, result.output
    return root


@pytest.fixture(scope="module")
def written(root, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("bundles") / "mine"
    with contextlib.chdir(root):
        result = call(bundle, *RUN, "--output", str(output), "--with-encoder")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{output}: ")
    return output


def test_a_bundle_links_from_a_folder_without_a_project(root, written, tmp_path, monkeypatch):
    with contextlib.chdir(root):
        want = call(link, *RUN, "--mention", "Ada", "--json", "--no-index").stdout
    monkeypatch.chdir(tmp_path)
    found = call(link, "--bundle", str(written), "--mention", "Ada", "--json")
    assert found.exit_code == 0, found.output
    one, other = json.loads(found.stdout), json.loads(want)
    assert [e["id"] for e in one["entities"]] == [e["id"] for e in other["entities"]]
    assert list(tmp_path.iterdir()) == []
    entities = call(
        link, "--bundle", str(written), "--mention", "Ada", "--json", "--no-index",
        "--entities", str(root / "data/tiny"),
    )  # fmt: skip
    assert json.loads(entities.stdout)["entities"][0]["id"] == other["entities"][0]["id"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--dataset", "tiny"], "give one of --dataset and --bundle"),
        (["--variant", "mimic"], "--bundle needs no --variant"),
        (["--seed", "1"], "--bundle needs no --seed"),
        (["--project", "."], "--bundle needs no --project"),
    ],
)
def test_what_the_bundle_says_is_not_said_twice(written, more, said):
    result = call(link, "--bundle", str(written), "--mention", "Ada", *more)
    assert result.exit_code == 2
    assert said in result.output


def test_a_data_set_or_a_bundle_must_be_named(root):
    for main in (link, verify):
        result = call(main)
        assert result.exit_code == 2
        assert "give one of --dataset and --bundle" in result.output


def test_an_encoder_that_moved_is_named_by_an_option(root, written):
    mention = ["--bundle", str(written), "--mention", "Ada"]
    result = call(link, *mention, "--text-encoder", str(root / "clip"))
    assert result.exit_code == 0, result.output
    wrong = call(link, *mention, "--set", "extract.text_encoder=clip")
    assert wrong.exit_code == 2
    assert "--text-encoder" in wrong.output
    wrong = call(link, *mention, "--set", "extract.max_token=3")
    assert wrong.exit_code == 1
    assert "did you mean 'max_tokens'" in wrong.output


def test_verify_names_what_is_damaged(written, tmp_path, monkeypatch):
    own = Path(shutil.copytree(written, tmp_path / "own"))
    monkeypatch.chdir(tmp_path)
    assert call(verify, "--bundle", "own").stdout.split() == ["bundle", "whole", "own"]
    flip(own / "model.safetensors")
    result = call(verify, "--bundle", "own")
    assert result.exit_code == 1
    assert "own/model.safetensors: its bytes are not those" in result.output
    assert call(verify, "--bundle", "own", "--repair").exit_code == 2
    assert "no bundle" in call(verify, "--bundle", ".").output


def test_an_output_that_is_there_is_kept_unless_forced(root, written, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    own = Path(shutil.copytree(written, tmp_path / "own"))
    refused = call(bundle, *RUN, "--output", str(own))
    assert refused.exit_code == 1
    assert "--force" in refused.output
    (tmp_path / "link").symlink_to(own)
    forced = call(bundle, *RUN, "--output", str(tmp_path / "link"), "--force", "--license", "mit")
    assert forced.exit_code == 0, forced.output
    assert "license: mit" in (own / "README.md").read_text()
    assert (tmp_path / "link").is_symlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "own"]
    for wrong in ("/dev/null", str(root / "params.yaml")):
        result = call(bundle, *RUN, "--output", wrong)
        assert result.exit_code == 2
        assert "expected a folder's name" in result.output


def test_transfer_tells_how_well_the_heads_do(root, written, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    output, params = tmp_path / "found.json", tmp_path / "params.yaml"
    text = (root / "params.yaml").read_text()  # which names no encoder that would be there
    params.write_text(text.replace("text_encoder: clip", "text_encoder: org/none"))
    result = call(
        transfer, "--dataset", "tiny", "--params", str(params), "--bundle", str(written),
        "--split", "valid", "--output", str(output),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(output.read_text())
    assert (found["split"], found["mentions"], found["entities"]) == ("valid", 12, 28)
    assert f"MRR {found['mrr']:.4f}" in result.stdout
