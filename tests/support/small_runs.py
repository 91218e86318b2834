"""Short runs on the tiny data set."""

import torch

from stages.config import EvaluateConfig, TrainConfig
from stages.runs.data import run_data
from stages.training.train import train

CPU = torch.device("cpu")
SMALL = TrainConfig(
    d_v=8, d_h=8, d_z=4, tau_init=0.2, batch_size=16, learning_rate=0.02, epochs=3, patience=9
)


def small(**changes) -> TrainConfig:
    return TrainConfig(**{**SMALL.model_dump(), **changes})


def short_run(opened, work, variant="melov", seed=0, on_epoch=None, **changes):
    """Trained, its data and its heads' configuration."""
    config = small(**changes)
    data, heads = run_data(opened, config, variant, CPU)
    return train(data, heads, config, EvaluateConfig(), seed, work, on_epoch), data, heads


def assert_equal_runs(one, other):
    """Bit for bit, but for the seconds."""
    assert one.state.keys() == other.state.keys()
    for name, weight in one.state.items():
        assert weight.equal(other.state[name]), name
    assert one.history == other.history
    assert one.best_epoch == other.best_epoch
