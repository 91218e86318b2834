"""A matcher unit costs one class, one entry, and its array's class and entry: here one more, which
compares how many words a mention's sentence and an entity's text have."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cache.reader import FeatureStore
from stages.datasets.records import Records
from stages.encode.record_arrays.registry import RECORD_ARRAYS
from stages.features.features import Features
from stages.heads.settings import HeadsConfig
from stages.heads.side import Side
from stages.heads.units.registry import UNITS, UnitEntry
from tests.support.tiny_project import call, run

UNITS_SET = ["--set", "train.units=[text,length]"]


@dataclass(frozen=True)
class Length:
    """Logarithm of a text's words over the mean entity's name's, dense (records, 1)."""

    name: ClassVar[str] = "length"
    per_name: ClassVar[bool] = False

    mean: float

    @classmethod
    def fit(cls, names: Sequence[str], config: Any) -> "Length":
        return cls(float(np.mean([len(name.split()) for name in names])))

    def of_entities(self, names: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        return self._rows(texts)

    def of_mentions(self, words: Sequence[str], sentences: Sequence[str]) -> np.ndarray:
        return self._rows(sentences)

    def _rows(self, texts: Sequence[str]) -> np.ndarray:
        lengths = [math.log((1 + len(text.split())) / self.mean) for text in texts]
        return np.array(lengths, np.float32).reshape(-1, 1)

    def state(self) -> dict[str, np.ndarray]:
        return {"mean": np.array([self.mean])}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], config: Any) -> "Length":
        return cls(float(arrays["mean"][0]))

    @staticmethod
    def fingerprint(config: Any) -> dict[str, Any]:
        return {"length": 1}


@dataclass(frozen=True)
class LengthSide(Side):
    a: Tensor  # (n, 1)


class LengthUnit(nn.Module):
    """S = -exp(s) |a_m - a_e|."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.empty(()))

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.s)

    def side(self, x: Features) -> LengthSide:
        return LengthSide(torch.as_tensor(x.arrays["length"]).to(self.s))

    mention_side = entity_side = side

    def pairs(self, mentions: LengthSide, entities: LengthSide) -> Tensor:
        return -self.s.exp() * (mentions.a - entities.a.T).abs()


def test_one_class_one_entry_and_an_array_go_through_every_command(project, monkeypatch):
    assert "expected one of text" in call("train", *UNITS_SET).output
    monkeypatch.setitem(UNITS, "length", UnitEntry(LengthUnit, ("length",)))
    lacking = call("train", *UNITS_SET)
    assert "holds no array 'length'" in lacking.output
    assert "python -m pipeline.extract --dataset tiny --force" in lacking.output

    monkeypatch.setitem(RECORD_ARRAYS, "length", Length)
    run("extract", "--force")
    run("graph")
    store = FeatureStore.open(project / "data/tiny/features.zarr")
    entities = Records.load(project / "data/tiny/records").entities
    names, texts = (entities[column].to_pylist() for column in ("name", "text"))
    fitted = Length.fit(names, None)
    stored = store["length/entities"].slice(0, 28)
    np.testing.assert_allclose(stored, fitted.of_entities(names, texts))

    run("train", *UNITS_SET)
    run("evaluate", *UNITS_SET)
    folder = project / "runs/tiny/melov-s0"
    config = json.loads((folder / "config.json").read_text())
    assert config["heads"]["units"] == ["text", "length"]
    assert json.loads((folder / "metrics.json").read_text())["test"]["mentions"] == 24

    sentence = "Ada at the river"
    mention = ["--mention", "Ada", "--sentence", sentence, "--json"]
    linked = run("link", *mention)
    (piece,) = (project / "indexes/tiny/melov-s0").glob("*.zarr")
    assert FeatureStore.open(piece)["length/a"].shape == (28, 1)
    assert run("link", *mention) == linked  # out of the index
    scale = float(load_file(folder / "model.safetensors")["matcher.units.length.s"].exp())
    of_mention = fitted.of_mentions(["Ada"], [sentence])[0, 0]
    for entity in json.loads(linked)["entities"]:
        assert set(entity["units"]) == {"text", "length"}
        of_entity = stored[entities["id"].to_pylist().index(entity["id"]), 0]
        score = -scale * abs(of_mention - of_entity)
        assert entity["units"]["length"] == pytest.approx(score, rel=1e-4)
