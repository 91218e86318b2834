from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.config import ExtractConfig
from stages.device import DTYPES
from stages.encode.encoders.encoder import Encoder
from stages.encode.encoders.families import find_checkpoints, open_encoder
from stages.paths import DatasetPaths
from tests.support.small_project import build_bert, build_clip, build_vit, write_project


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_clip(tmp_path_factory.mktemp("encoders") / "clip")


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_bert(tmp_path_factory.mktemp("encoders") / "bert")


@pytest.fixture(scope="session")
def mean_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As sentence-transformers saved them for years."""
    flags = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    return build_bert(tmp_path_factory.mktemp("encoders") / "mean-bert", flags)


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_vit(tmp_path_factory.mktemp("encoders") / "vit")


@pytest.fixture
def project(tmp_path: Path, clip: Path) -> DatasetPaths:
    return write_project(tmp_path, clip)


@pytest.fixture
def opened() -> Callable[..., Encoder]:
    """open(folder, dtype="float32", **fields of ExtractConfig) -> an encoder on the CPU."""

    def open_it(text: Path, dtype: str = "float32", **fields: Any) -> Encoder:
        config = ExtractConfig(text_encoder=str(text), device="cpu", **fields)
        return open_encoder(find_checkpoints(config), config, torch.device("cpu"), DTYPES[dtype])

    return open_it
