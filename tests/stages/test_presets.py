import re
from pathlib import Path

import pytest
import yaml

from stages.config import TrainConfig, load_params
from stages.heads.presets import DECIDED, DEFAULT, PRESETS
from stages.runs.dataset import Dataset, RunSpec
from stages.section import ConfigError

PROJECT = Path(__file__).parents[2]
FILE = (PROJECT / "params.yaml").read_text()
BENCHMARKS = ("wikimel", "richpediamel", "wikidiverse")


def train(tmp_path, text, *assignments, dataset="a"):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_params(path, dataset, assignments).train


def resolved(name):
    return TrainConfig(preset=name).model_dump()


def test_the_strong_preset_is_what_nothing_says_and_the_paper_is_the_fields_own_defaults():
    assert DEFAULT == "strong"
    assert TrainConfig() == TrainConfig(preset="strong")
    own = {key: TrainConfig.model_fields[key].default for key in DECIDED}
    assert {key: resolved("paper")[key] for key in DECIDED} == own
    assert all(resolved("strong")[key] != own[key] for key in DECIDED)
    others = TrainConfig.model_fields.keys() - DECIDED - {"preset"}
    assert all(resolved("strong")[key] == resolved("paper")[key] for key in others)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_in_what_nobody_says_and_null_is_not_saying(tmp_path, name):
    nulls = "".join(f", {key}: null" for key in DECIDED)
    for found in (
        train(tmp_path, f"train: {{preset: {name}}}"),
        train(tmp_path, f"train: {{preset: {name}{nulls}}}"),
        train(tmp_path, f"overrides: {{a: {{train: {{preset: {name}}}}}}}"),
        train(tmp_path, "train: {preset: strong}", f"train.preset={name}"),
    ):
        assert found.model_dump() == resolved(name)


def test_a_value_beats_the_preset_wherever_it_stands(tmp_path):
    text = "train: {dropout: 0.4}\noverrides: {a: {train: {hard_negatives: 5, preset: paper}}}"
    found = train(tmp_path, text, "train.adapter=mlp")
    said = {"dropout": 0.4, "hard_negatives": 5, "adapter": "mlp", "preset": "paper"}
    assert found.model_dump() == resolved("paper") | said
    assert found.model_dump(exclude_unset=True) == said
    back = train(tmp_path, text, "train.dropout=null", "train.preset=strong")
    assert back.dropout == resolved("strong")["dropout"]
    assert back.hard_negatives == 5


def test_an_unknown_preset_names_the_nearest_and_null_is_no_value_of_another_key(tmp_path):
    with pytest.raises(ConfigError, match=r"train\.preset: .*did you mean 'strong'"):
        train(tmp_path, "train: {preset: stong}")
    with pytest.raises(ConfigError, match=r"train\.patience"):
        train(tmp_path, "train: {patience: null}")
    with pytest.raises(ConfigError, match=r"train\.preset"):
        train(tmp_path, "train: {preset: null}")


def test_the_parameter_file_leaves_to_the_preset_what_it_decides_and_says_what_each_gives():
    stated = yaml.safe_load(FILE)["train"]
    assert {key for key, value in stated.items() if value is None} == DECIDED
    for key in DECIDED:
        (comment,) = re.findall(rf"^  {key}: null +# (.*)$", FILE, re.MULTILINE)
        for name in PRESETS:
            value = resolved(name)[key]
            shown = ", ".join(value) if isinstance(value, tuple) else str(value)
            shown = shown.lower() if isinstance(value, bool) else shown
            assert re.search(rf"\b{name}: {re.escape(shown)}(?=$|[ ;])", comment), (key, name)


def test_the_public_benchmarks_have_the_papers_setting():
    for dataset in BENCHMARKS:
        found = load_params(PROJECT / "params.yaml", dataset).train
        assert found.model_dump() == resolved("paper")
    mine = load_params(PROJECT / "params.yaml", "mine").train
    assert mine.model_dump() == resolved("strong")


def test_without_pictures_a_presets_units_are_those_of_text_and_a_log_line_says_so(blind, caplog):
    caplog.set_level("INFO")
    dataset = Dataset.open(blind)
    for name, units in (("strong", ("text", "lexical")), ("paper", ("text",))):
        spec = dataset.settled(RunSpec.of("melov", 0, TrainConfig(preset=name, device="cpu")))
        assert spec.train.units == dataset.heads(spec).units == units
        assert f"no pictures; train.units=[{','.join(units)}]" in caplog.text
    asked = RunSpec.of("melov", 0, TrainConfig(units=("text", "vision"), device="cpu"))
    assert dataset.settled(asked) is asked  # and its heads raise: tests/stages/training


def test_with_pictures_the_unit_of_further_encoders_alone_is_left_out_and_in_a_baseline_nothing(
    opened, blind
):
    spec = RunSpec.of("melov", 0, TrainConfig(device="cpu"))
    assert opened.settled(spec).train.units == ("text", "vision", "cross", "lexical")
    spec = RunSpec.of("melov", 0, TrainConfig(preset="paper", device="cpu"))
    assert opened.settled(spec) is spec
    spec = RunSpec.of("tfidf", 0, TrainConfig(device="cpu"))
    assert Dataset.open(blind).settled(spec) is spec
