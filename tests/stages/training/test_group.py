"""Several processes train one run as one process does: two of gloo on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stages.heads.noise import noise_like, share_of
from stages.runs.dataset import Dataset
from stages.training.group import ALONE, Group, training_group
from stages.training.step import load_batch, train_step
from tests.support.small_runs import run_data, small
from tests.support.tiny_project import own_world

ROOT = Path(__file__).resolve().parents[3]
SMALL = ["--set", "train.preset=paper", "--set", "train.batch_size=16", "--set", "train.epochs=2",
         "--set", "train.tau_init=0.2", "--set", "train.device=cpu"]  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 3, 7, 128])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_are_all_of_it_once_and_differ_by_one_at_most(n, size):
    shares = [list(range(n))[Group(rank, size).share(n)] for rank in range(size)]
    assert [thing for share in shares for thing in share] == list(range(n))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


def test_noise_of_a_share_is_what_its_rows_have_in_the_whole_batch():
    torch.manual_seed(3)
    whole = noise_like(torch.empty(10, 4, 2))
    for own in (slice(0, 5), slice(5, 10)):
        torch.manual_seed(3)
        with share_of(10, own):
            found = noise_like(torch.empty(5, 4, 2))
        assert found.equal(whole[own])


def test_alone_nothing_is_sent():
    assert ALONE.gathered("a") == ["a"]
    assert ALONE.of_first("a") == "a"
    with training_group("cpu", {}) as group:
        assert group == ALONE


GRADIENTS = """
import sys, torch
from pathlib import Path
from stages.paths import DatasetPaths
from stages.runs.dataset import Dataset
from stages.training.group import training_group
from tests.stages.training.test_group import gradients
with training_group("cpu") as group:
    opened = Dataset.open(DatasetPaths("tiny", Path(sys.argv[1])))
    found = {variant: gradients(opened, variant, group) for variant in sys.argv[3:]}
    torch.save(found, f"{sys.argv[2]}-{group.rank}.pt")
"""


def gradients(opened: Dataset, variant: str, group: Group) -> dict[str, torch.Tensor]:
    """Of one step over 33 mentions, some without a picture, with hard negatives; and its losses."""
    config = small(lambda_g=0.5, label_smoothing=0.1)
    data, heads = run_data(opened, config, variant)
    torch.manual_seed(5)
    model = heads.entry.build(heads).train()
    rows = np.random.default_rng(0).permutation(len(data.gold["train"]))[:33]
    gold = data.gold["train"][rows]
    batch = load_batch(data.inputs, rows, gold, (gold[:, None] + [[3, 5]]) % 20, group)
    assert 0 < batch.mentions.features.has_image.sum() < len(batch.target)
    torch.manual_seed(7)
    losses = train_step(model, torch.optim.SGD(model.parameters(), lr=0.0), batch, config, group)
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**found, **losses}


def torchrun(processes: int, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    own = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "--nproc-per-node", str(processes), *arguments], cwd=cwd, env=own,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_two_processes_have_the_gradient_of_one_with_the_whole_batch(opened, root, tmp_path):
    script, variants = tmp_path / "gradients.py", ["melov", "mimic", "ghmfc"]
    script.write_text(GRADIENTS)
    said = torchrun(2, str(script), str(root), str(tmp_path / "found"), *variants, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    both = [torch.load(tmp_path / f"found-{rank}.pt") for rank in range(2)]
    for variant in variants:
        one, two = gradients(opened, variant, ALONE), [found[variant] for found in both]
        assert two[0].keys() >= one.keys()
        for name, value in two[0].items():
            want = one.get(name, torch.zeros_like(value))
            torch.testing.assert_close(value, want, rtol=1e-4, atol=1e-6, msg=f"{variant} {name}")
            assert value.equal(two[1][name]), name


@pytest.fixture
def project(tmp_path, tmp_path_factory):
    return own_world(tmp_path_factory.getbasetemp(), tmp_path / "world")


def trained(project: Path, name: str, processes: int, *more: str) -> tuple[dict, list[str]]:
    """Weights of a run, and its history's lines."""
    own = shutil.copytree(project, project.parent / name)
    said = torchrun(processes, "-m", "pipeline.train", "--dataset", "tiny", *SMALL, *more, cwd=own)
    assert said.returncode == 0, said.stdout + said.stderr
    assert said.stdout.count("epoch  1") == 1  # one process tells of it
    folder = own / "runs/tiny/melov-s0"
    assert json.loads((folder / "config.json").read_text())["train"]["epochs"] == 2
    return load_file(folder / "model.safetensors"), (folder / "history.csv").read_text().split()


@pytest.mark.slow
def test_a_run_of_two_processes_is_that_of_one_and_the_same_again(project):
    _, of_one = trained(project, "one", 1)
    two, of_two = trained(project, "two", 2)
    again, of_again = trained(project, "again", 2)
    assert all(weight.equal(again[name]) for name, weight in two.items())
    assert of_two == of_again
    for mine, theirs in zip(of_two[1:], of_one[1:], strict=True):
        assert [float(x or 0) for x in mine.split(",")] == pytest.approx(
            [float(x or 0) for x in theirs.split(",")], rel=1e-2, abs=1e-2
        )


@pytest.mark.slow
def test_killed_it_resumes_to_the_same_bits_with_dropout(project):
    changes = ("--set", "train.dropout=0.2", "--set", "train.adapter=mlp")
    straight, _ = trained(project, "straight", 2, *changes)
    own = shutil.copytree(project, project.parent / "killed")
    # The first epoch's state is written, then the whole group dies.
    (own / "stop.py").write_text(
        "import os, signal\n"
        "from stages.training import train\n"
        "from pipeline.train import main\n"
        "save = train.save_state\n"
        "def saved(*a):\n"
        "    save(*a)\n"
        "    os.killpg(0, signal.SIGKILL)\n"
        "train.save_state = saved\n"
        "main()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
               "2", "stop.py", "--dataset", "tiny", *SMALL, *changes]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{own}", "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        command, cwd=own, env=environment, capture_output=True, start_new_session=True, check=False
    )
    assert killed.returncode != 0
    assert list(own.rglob("state.pt"))
    assert not (own / "runs/tiny/melov-s0/model.safetensors").exists()
    said = torchrun(2, "-m", "pipeline.train", "--dataset", "tiny", *SMALL, *changes, cwd=own)
    assert said.returncode == 0, said.stderr
    assert "resuming after epoch 1" in said.stdout + said.stderr
    found = load_file(own / "runs/tiny/melov-s0/model.safetensors")
    assert all(weight.equal(straight[name]) for name, weight in found.items())
