import numpy as np
import pytest
import torch

from stages.config import EvaluateConfig
from stages.heads.variants import VARIANTS, YARDSTICKS
from stages.runs import beside as module
from stages.runs.beside import rank_yardsticks
from stages.runs.dataset import Dataset, RunSpec
from stages.runs.fit import execute
from stages.runs.folder import RunFolder
from stages.runs.yardsticks import figures, warning, yardsticks_of
from tests.support.small_runs import small

CPU = torch.device("cpu")


def test_those_that_are_ranked_beside_every_run_learn_nothing():
    assert YARDSTICKS == ("tfidf", "zero-shot")
    assert not any(VARIANTS[name].trained for name in YARDSTICKS)


def test_they_have_the_figures_of_runs_of_their_own(opened, tmp_path):
    own = {
        name: execute(
            RunSpec.of(name, 0, small()), opened, RunFolder(tmp_path / name, ""), EvaluateConfig()
        )
        for name in YARDSTICKS
    }
    spec = RunSpec.of("mimic", 0, small(units=("text",), epochs=1))
    trained = execute(spec, opened, RunFolder(tmp_path / "mimic", ""), EvaluateConfig())
    assert list(yardsticks_of(trained)) == list(YARDSTICKS)
    for name, parts in yardsticks_of(trained).items():
        assert parts == {part: own[name][part] for part in parts}
        assert parts.keys() == {part for part in trained if part.split("_")[0] in ("test", "valid")}
        assert yardsticks_of(own[name]) == {}


def test_they_are_ranked_once_for_a_data_set_however_it_is_read(root, opened, monkeypatch):
    ranked, evaluate = [], module.evaluate

    def counted(model, *rest):
        ranked.append(model.config.variant)
        return evaluate(model, *rest)

    monkeypatch.setattr(module, "evaluate", counted)
    dataset = Dataset.open(opened.paths)
    first = rank_yardsticks(dataset, EvaluateConfig(), CPU)
    other = dataset.on(dataset.saved.config.model_copy(update={"metric": "dot"}))
    assert rank_yardsticks(other, EvaluateConfig(mention_rows=3), CPU) is first
    assert ranked == list(YARDSTICKS)


@pytest.mark.parametrize(
    ("trained", "beside", "name"),
    [
        ((0.5, 0.9), {"tfidf": (0.6, 0.1), "zero-shot": (0.7, 0.1)}, "zero-shot"),
        ((0.5, 0.9), {"tfidf": (0.6, 0.1), "zero-shot": (0.4, 0.99)}, "tfidf"),
        ((0.5, 0.1), {"tfidf": (0.5, 0.9), "zero-shot": (0.4, 0.9)}, None),
        ((0.5, 0.1), {}, None),
    ],
)
def test_validation_decides_who_is_ahead_and_the_line_has_all_four_figures(trained, beside, name):
    said = warning("melov", trained, beside)
    if name is None:
        assert said is None
        return
    assert said.startswith(f"{name}, which learns nothing, is ahead of melov: MRR ")
    for value in (*trained, *beside[name]):
        assert f"{100 * value:.2f}" in said
    assert "train.preset=strong" in said
    assert said.endswith(f"--variant {name}")
    assert "\n" not in said


def test_figures_are_of_the_metric_that_decides():
    parts = {"valid": {"mrr": 0.25, "hits@1": 0}, "test": {"mrr": 0.5, "hits@1": np.inf}}
    assert figures(parts) == (0.25, 0.5)
