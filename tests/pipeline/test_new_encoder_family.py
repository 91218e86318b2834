"""What a new encoder family costs: one class and one entry. Both are in this file, and run from the
pictures and sentences to linked mentions."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import save_file
from torch import Tensor

from cache.reader import FeatureStore
from pipeline import evaluate, extract, graph, link, train
from stages.config import ExtractConfig
from stages.encode.encoders import families
from stages.encode.encoders.encoder import Pixels, Shapes
from stages.encode.encoders.families import Checkpoints, Family
from stages.encode.tokens import Tokenizer
from tests.support.tiny_world import PARAMS, tiny_world


class HashedBag:
    """A token is a fixed random vector, a text the mean of its tokens; a patch is the mean color of
    a quarter, a picture that of all."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        config: ExtractConfig,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.device, images = device, checkpoints.image is not None
        self.vectors = torch.randn(101, 12, generator=torch.Generator().manual_seed(0))
        self.shapes = Shapes(12, 12, 3, 3, 4) if images else Shapes(12, 12, 0, 0, 0)
        self.pixels = Pixels(8, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) if images else None

    def encode_texts(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        local = self.vectors[ids % 101] * mask.unsqueeze(-1)
        return local.sum(1) / mask.sum(1, keepdim=True), local

    def encode_images(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        local = torch.nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(2).transpose(1, 2)
        return local.mean(1), local

    def projections(self) -> dict[str, np.ndarray]:
        return {}


HASHED = Family(
    "hashed", lambda model_type: model_type == "hashed", own_images=True, open=HashedBag
)


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny world's records with a checkpoint of the new family, which is registered."""
    world = tiny_world(tmp_path_factory.getbasetemp())
    root = tmp_path_factory.mktemp("hashed")
    for folder in ("raw", "records"):
        shutil.copytree(world / "data/tiny" / folder, root / "data/tiny" / folder)
    (root / "hashed").mkdir()
    for file in (world / "clip").glob("tokenizer*.json"):
        shutil.copy(file, root / "hashed")
    (root / "hashed/config.json").write_text('{"model_type": "hashed"}')
    save_file({"none": np.zeros(1, np.float32)}, root / "hashed/model.safetensors")
    (root / "params.yaml").write_text(PARAMS.replace("text_encoder: clip", "text_encoder: hashed"))
    monkeypatch.setattr(families, "FAMILIES", [HASHED, *families.FAMILIES])
    monkeypatch.chdir(root)
    return root


def test_a_new_family_goes_from_pictures_and_sentences_to_linked_mentions(root: Path):
    def run(command: Callable[..., object], *arguments: str) -> str:
        result = CliRunner().invoke(command, ["--dataset", "tiny", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    melov = ("--variant", "melov", "--seed", "0")
    run(extract.main)
    run(graph.main)
    run(train.main, *melov, "--set", "train.epochs=3")
    run(evaluate.main, *melov)
    text = ("--mention", "Ada", "--sentence", "Ada at the river")
    picture = next((root / "data/tiny/raw/pictures").iterdir())
    said = run(link.main, *melov, *text, "--image", str(picture), "--json")

    store = FeatureStore.open(root / "data/tiny/features.zarr")
    checkpoints = families.find_checkpoints(ExtractConfig(text_encoder="hashed"))
    encoder = HashedBag(checkpoints, ExtractConfig(), torch.device("cpu"), torch.float32)
    (ids,) = Tokenizer(checkpoints.text, 20)(["Ada A [SEP] Ada A of the river"])  # E0's
    pooled, _ = encoder.encode_texts(torch.from_numpy(ids)[None], torch.ones(1, len(ids)))
    first = store["texts/global"].gather(store["entities/text"].gather([0]))
    np.testing.assert_allclose(first, pooled.numpy(), atol=2e-3)
    assert store.attributes["shapes"]["n_p"] == 4

    metrics = json.loads((root / "runs/tiny/melov-s0/metrics.json").read_text())
    assert metrics["test"]["mentions"] == 24
    assert metrics["test"]["mrr"] > 2 / 28
    linked = json.loads(said)
    assert linked["has_image"]
    assert linked["warnings"] == []
    assert linked["entities"][0]["id"].startswith("E")
    assert set(linked["entities"][0]["units"]) == {"text", "vision", "cross"}
