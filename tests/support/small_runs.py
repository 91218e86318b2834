"""Short runs on the tiny data set."""

import torch

from stages.config import EvaluateConfig, TrainConfig
from stages.features.data import LinkingData
from stages.heads.settings import HeadsConfig
from stages.runs.dataset import Dataset, RunSpec
from stages.training.train import Trained, train

CPU = torch.device("cpu")
SMALL = TrainConfig(
    preset="paper",
    d_v=8, d_h=8, d_z=4, tau_init=0.2, batch_size=16, learning_rate=0.02, epochs=3, patience=9,
    device="cpu",
)  # fmt: skip


def small(**changes) -> TrainConfig:
    return TrainConfig(**{**SMALL.model_dump(), **changes})


def run_data(
    dataset: Dataset, config: TrainConfig, variant: str
) -> tuple[LinkingData, HeadsConfig]:
    """What a run of `variant` trains on, and its heads' configuration."""
    spec = RunSpec.of(variant, 0, config)
    heads = dataset.heads(spec)
    return dataset.data(heads, spec.train, CPU), heads


def short_run(
    dataset: Dataset, work, variant="melov", seed=0, on_epoch=None, **changes
) -> tuple[Trained, LinkingData, HeadsConfig]:
    """Trained, its data and its heads' configuration."""
    config = small(**changes)
    data, heads = run_data(dataset, config, variant)
    config = config.settled(variant)
    return train(data, heads, config, EvaluateConfig(), seed, work, on_epoch), data, heads


def assert_equal_runs(one, other):
    """Bit for bit, but for the seconds."""
    assert one.state.keys() == other.state.keys()
    for name, weight in one.state.items():
        assert weight.equal(other.state[name]), name
    assert one.history == other.history
    assert one.best_epoch == other.best_epoch
