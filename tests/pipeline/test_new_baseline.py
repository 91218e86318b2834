"""A baseline costs one class and one entry: here one more, through every command."""

import json

from torch import Tensor, nn

from cache.reader import FeatureStore
from stages.features.features import Features
from stages.heads.baselines.vectors import Pictures, VectorHeads
from stages.heads.settings import HeadsConfig
from stages.heads.variants import VARIANTS, Variant
from tests.support.tiny_project import call, run

NAME = "weighed-sum"
PICTURE = "data/tiny/raw/pictures/e0.png"


class WeighedSum(VectorHeads):
    """r = LN_r(W_t t + v): the least that reads both modalities."""

    def __init__(self, config: HeadsConfig) -> None:
        super().__init__(config, config.d_h)
        self.w_t = nn.Linear(config.d_t, config.d_h)
        self.pictures = Pictures(config, local=False)

    def encode(self, x: Features) -> Tensor:
        v, _ = self.pictures(x)
        return self.w_t(x.text_global) + v


def test_one_class_and_one_entry_go_through_every_command(project, monkeypatch):
    unknown = call("train", "--variant", NAME)
    assert unknown.exit_code == 2
    assert "expected one of melov" in unknown.output
    monkeypatch.setitem(VARIANTS, NAME, Variant(NAME, WeighedSum, reads=("pictures",)))

    for variant in (NAME, "mimic"):
        run("train", "--variant", variant, "--set", "train.epochs=1")
        run("evaluate", "--variant", variant)
    folder = project / f"runs/tiny/{NAME}-s0"
    config = json.loads((folder / "config.json").read_text())
    assert (config["heads"]["variant"], config["heads"]["units"]) == (NAME, [])
    single = json.loads((folder / "metrics.json").read_text())
    assert (single["variant"], single["test"]["mentions"]) == (NAME, 24)

    table = run("report", "--set", f"variants=[{NAME}, mimic]")
    assert NAME in table
    page = (project / "reports/tiny/report.html").read_text()
    assert f"Scores of {NAME}" in page  # its partial scores beside the cases' pictures
    assert "left out" not in page

    grid = f"seeds: [0]\ntrain: {{epochs: 1}}\nproduct: {{variant: [{NAME}, mimic]}}\n"
    (project / "grid.yaml").write_text(grid)
    assert NAME in run("ablate", "--grid", "grid.yaml")
    of_grid = json.loads((project / f"ablations/tiny/grid/{NAME}-s0/metrics.json").read_text())
    assert of_grid["test"] == single["test"]

    mention = ["--mention", "Ada", "--sentence", "Ada at the river", "--image", PICTURE, "--json"]
    linked = run("link", "--variant", NAME, *mention)
    found = json.loads(linked)
    assert (len(found["entities"]), found["has_image"]) == (5, True)
    assert set(found["entities"][0]["units"]) == {"joint"}
    assert run("link", "--variant", NAME, *mention) == linked  # out of the index
    (piece,) = (project / f"indexes/tiny/{NAME}-s0").glob("*.zarr")
    assert FeatureStore.open(piece)["r"].shape == (28, 8)
