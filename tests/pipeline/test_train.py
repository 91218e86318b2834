import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.evaluate import main as evaluate
from pipeline.train import main as train
from tests.support.tiny_world import tiny_world

PROJECT = Path(__file__).parents[2]
OPTIONS = ["--dataset", "tiny", "--set", "train.epochs=4"]
FILES = {
    "model.safetensors", "config.json", "history.csv", "history.png", "metrics.json", "ranks.npz",
    "probabilities.npz", "predictions.csv",
}  # fmt: skip
KILLED = """
import os, pathlib, signal
from pipeline.train import main

write, saves = pathlib.Path.write_bytes, 0

def killed(path, data):
    global saves
    saves += ".state.pt" in path.name
    if saves < 3:
        return write(path, data)
    write(path, data[: len(data) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

pathlib.Path.write_bytes = killed
main()
"""
"""Dies by SIGKILL in the middle of writing the third epoch's state."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project of its own: the tests of other commands keep their runs in the shared one."""
    root = tmp_path_factory.mktemp("train")
    shutil.copytree(tiny_world(tmp_path_factory.getbasetemp()), root, dirs_exist_ok=True)
    shutil.rmtree(root / "runs", ignore_errors=True)
    return root


def call(root, command, *arguments):
    with contextlib.chdir(root):
        return CliRunner().invoke(command, [*OPTIONS, *arguments])


def run(root, *arguments):
    """Train and evaluate; what both printed."""
    output = ""
    for command in (train, evaluate):
        result = call(root, command, *arguments)
        assert result.exit_code == 0, result.output
        output += result.stdout
    return output


@pytest.fixture(scope="module")
def straight(root):
    """The files of a run without a break, and what it printed."""
    output = run(root)
    return contents(root / "runs/tiny/melov-s0"), output


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name in FILES}


def test_a_run_leaves_its_files_and_no_unfinished_work(root, straight):
    found, output = straight
    assert found.keys() == FILES
    assert not (root / "runs/tiny/.partial/melov-s0").exists()
    assert output.count("valid MRR") == 5  # the start's, too
    assert "best epoch" in output
    assert "test_unseen" in output
    assert all(f"\ntest, {name} " in output for name in ("tfidf", "zero-shot"))


def test_the_history_and_the_configuration_say_what_was_done(straight):
    found, _ = straight
    rows = list(csv.DictReader(found["history.csv"].decode().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [name for name, said in rows[0].items() if not said] == ["loss", "loss_e", "loss_g"]
    assert {"loss", "loss_e", "loss_g", "tau", "valid_mrr", "valid_hits@1"} < rows[0].keys()
    said = json.loads(found["config.json"])
    assert (said["dataset"], said["seed"], said["heads"]["variant"]) == ("tiny", 0, "melov")
    assert said["train"]["epochs"] == 4
    assert said["provenance"].keys() == {"store", "records", "graph"}


def test_the_metrics_have_the_layout_of_the_contract(straight):
    said = json.loads(straight[0]["metrics.json"])
    assert (said.pop("dataset"), said.pop("variant"), said.pop("seed")) == ("tiny", "melov", 0)
    assert said.pop("made_from").keys() == {"run", "store", "records", "graph"}
    assert list(said.pop("files")) == ["ranks.npz", "probabilities.npz", "predictions.csv"]
    assert len(said.pop("seal")) == 32
    probability = said.pop("probability")
    assert list(probability) == [
        "temperature", "nil", "candidates", "precision", "threshold", "valid", "test"
    ]  # fmt: skip
    assert (probability["nil"], probability["precision"]) == (None, 0.95)
    assert (probability["valid"]["mentions"], probability["test"]["mentions"]) == (12, 24)
    beside = said.pop("untrained")
    assert list(beside) == ["tfidf", "zero-shot"]
    assert said.keys() == {"test", "valid", "test_seen", "test_unseen"}
    assert all(parts.keys() == said.keys() for parts in beside.values())
    values = ["mentions", "entities", *(f"hits@{k}" for k in (1, 3, 5, 10, 20)), "mrr", "mr"]
    for part in said.values():
        assert list(part) == values
        assert part["entities"] == 28
        assert all(0 <= part[name] <= 1 for name in values[2:-1])
    assert (said["test"]["mentions"], said["valid"]["mentions"]) == (24, 12)
    best = max(
        float(row["valid_mrr"])
        for row in csv.DictReader(straight[0]["history.csv"].decode().splitlines())
    )
    assert said["valid"]["mrr"] == best


def test_a_run_behind_what_learns_nothing_is_warned_of_on_standard_error(root, straight):
    said = json.loads(straight[0]["metrics.json"])
    ahead = max(parts["valid"]["mrr"] for parts in said["untrained"].values())
    assert ahead > said["valid"]["mrr"]  # the tiny world's names say all
    result = call(root, evaluate)
    assert result.stderr.count("warning: ") == 1
    assert "which learns nothing, is ahead of melov: MRR" in result.stderr
    assert "warning" not in call(root, evaluate).stdout


def test_one_seed_gives_the_same_bytes_and_another_seed_others(root, straight):
    folder = root / "runs/tiny"
    shutil.move(folder / "melov-s0", folder / "first")
    run(root)
    assert contents(folder / "melov-s0") == straight[0]
    run(root, "--seed", "1")
    other = contents(folder / "melov-s1")
    assert all(other[name] != straight[0][name] for name in FILES)


def test_a_run_killed_while_it_saves_resumes_and_ends_as_a_straight_one(root, straight):
    folder = root / "runs/tiny/melov-s0"
    shutil.rmtree(folder)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *OPTIONS],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not folder.exists()
    (work,) = (root / "runs/tiny/.partial/melov-s0").iterdir()
    assert len(list(work.iterdir())) == 2  # the second epoch's state, and a torn file
    output = run(root)
    assert [line[:8] for line in output.splitlines() if "loss" in line] == ["epoch  3", "epoch  4"]
    assert contents(folder) == straight[0]
    assert not work.exists()


def shortly(digits):
    return f"{float(digits):.5g}"


def test_blocks_of_another_size_change_no_rank(root, straight):
    blocks = ["--set", "evaluate.mention_rows=5", "--set", "evaluate.entity_rows=4"]
    result = call(root, evaluate, *blocks)
    assert result.exit_code == 0, result.output
    folder = root / "runs/tiny/melov-s0"
    found, want = ((folder / "metrics.json").read_bytes(), straight[0]["metrics.json"])
    found, want = ({**json.loads(said), "seal": "", "files": {}} for said in (found, want))
    # Scores differ in their last bits, and so do the temperature and what is told with it.
    near, nearly = (json.dumps(said.pop("probability")) for said in (found, want))
    assert found == want
    assert json.loads(near, parse_float=shortly) == json.loads(nearly, parse_float=shortly)
    with np.load(folder / "ranks.npz") as ranks:
        assert ranks["test"].shape == (24,)
        with np.load(io.BytesIO(straight[0]["ranks.npz"])) as before:
            assert all((ranks[split] == before[split]).all() for split in ("valid", "test"))


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (train, ["--set", "train.tau_init=0.05"], "tau_init"),
        (train, ["--set", "train.learning_rate=1e30"], "less than or equal to 10"),
        (train, ["--set", "train.epoch=3"], "did you mean 'epochs'"),
        (evaluate, ["--variant", "mimic"], "pipeline.train --dataset tiny --variant mimic --seed"),
    ],
)
def test_a_failure_is_one_message_and_exit_code_1(root, command, arguments, message):
    result = call(root, command, *arguments, "--seed", "7")
    assert result.exit_code == 1
    assert "error: " in result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_a_variant_that_does_not_exist_is_wrong_usage(root):
    assert call(root, train, "--variant", "melof").exit_code == 2
