import copy
import random
from dataclasses import replace

import pytest
import torch

from stages.heads.settings import HeadsConfig
from stages.training.checkpoint import State, load_state, run_digest, save_state
from tests.support.small_runs import SMALL, small


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    model = torch.nn.Linear(5, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(3, 5)).sum().backward()
    optimizer.step()
    weights = copy.deepcopy(model.state_dict())
    rows = [{"epoch": 0}, {"epoch": 1, "loss": 0.1 + 0.2}, {"epoch": 2, "loss": 0.1}]
    rng = torch.get_rng_state()
    return State(2, weights, optimizer.state_dict(), rng, 0.5, 1, weights, rows)


def test_a_state_comes_back_to_the_bit(state, tmp_path):
    save_state(tmp_path / "new", state)
    found = load_state(tmp_path / "new")
    assert (found.epoch, found.best_mrr, found.best_epoch) == (2, 0.5, 1)
    assert found.history == state.history
    assert found.rng.equal(state.rng)
    for name in state.model:
        assert found.model[name].equal(state.model[name])
        assert found.best[name].equal(state.best[name])
    assert found.optimizer["param_groups"] == state.optimizer["param_groups"]
    for i, moments in state.optimizer["state"].items():
        assert all(found.optimizer["state"][i][k].equal(x) for k, x in moments.items())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.pt"]


def test_a_folder_without_a_state_gives_none(tmp_path, caplog):
    assert load_state(tmp_path / "none") is None
    assert caplog.text == ""


@pytest.mark.parametrize("kind", ["cut short", "a bit turned", "zeros"])
def test_no_damage_goes_unnoticed(state, tmp_path, caplog, kind):
    save_state(tmp_path, state)
    path = tmp_path / "state.pt"
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(60):
        content, place = bytearray(whole), rng.randrange(len(whole))
        if kind == "cut short":
            del content[place:]
        elif kind == "a bit turned":
            content[place] ^= 1 << rng.randrange(8)
        else:
            content[place : place + 64] = bytes(len(content[place : place + 64]))
        if content == whole:
            continue
        caplog.clear()
        path.write_bytes(content)
        assert load_state(tmp_path) is None
        assert f"{path}: damaged; training starts over" in caplog.text


def test_a_state_of_another_version_is_reported(state, tmp_path, caplog, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(state, "momentum", 1, raising=False)
        save_state(tmp_path, state)
    assert load_state(tmp_path) is None
    assert "of another version" in caplog.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epoch", "2"), ("epoch", 3), ("history", [{"epoch": 1}, {}]), ("best_epoch", 3),
        ("best_epoch", -1), ("best_mrr", float("nan")),
        ("best", {}), ("best", {"weight": None, "bias": None}), ("history", None),
    ],
)  # fmt: skip
def test_a_state_that_no_training_left_is_passed_over(state, tmp_path, caplog, field, value):
    save_state(tmp_path, replace(state, **{field: value}))
    assert load_state(tmp_path) is None
    assert "training starts over" in caplog.text


HEADS = HeadsConfig(variant="melov", units=("text",), d_t=8, d_local=8, joint_space=False)


def test_the_digest_depends_on_all_that_it_is_made_from_and_not_on_the_order():
    made_from = {"store": "0123", "graph": "4567"}
    digest = run_digest(HEADS, SMALL, 0, made_from)
    assert digest == run_digest(HEADS, SMALL, 0, dict(reversed(made_from.items())))
    others = [
        run_digest(HEADS.model_copy(update={"floor": 0.1}), SMALL, 0, made_from),
        run_digest(HEADS, small(lambda_g=0.5), 0, made_from),
        run_digest(HEADS, SMALL, 1, made_from),
        run_digest(HEADS, SMALL, 0, {**made_from, "graph": "89ab"}),
    ]
    assert len({digest, *others}) == 5
