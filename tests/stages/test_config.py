import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import Field

from stages.config import SECTIONS, GraphConfig, Params, load_params
from stages.section import ConfigError, Section, validated

PROJECT = Path(__file__).parents[2]


def write(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def as_committed(tmp_path):
    """The project's parameter file without what `dvc exp run -S` or a user wrote into it since."""
    found = subprocess.run(["git", "show", "HEAD:./params.yaml"], cwd=PROJECT, capture_output=True)
    if found.returncode:  # no checkout: a release's archive
        return PROJECT / "params.yaml"
    return write(tmp_path, found.stdout.decode())


def test_the_projects_own_parameter_file_is_complete_and_names_every_default(tmp_path):
    path = as_committed(tmp_path)
    stated = yaml.safe_load(path.read_text())
    params = load_params(path)
    defaults = Params()
    for section in SECTIONS:
        assert set(stated[section]) == set(type(getattr(params, section)).model_fields), section
        assert getattr(params, section) == getattr(defaults, section), section


def test_every_data_set_of_the_overrides_has_the_five_blocks_that_dvc_depends_on():
    stated = yaml.safe_load((PROJECT / "params.yaml").read_text())["overrides"]
    for dataset, blocks in stated.items():
        assert list(blocks) == ["prepare", "extract", "graph", "train", "evaluate"], dataset


@pytest.mark.parametrize(
    ("text", "place", "near"),
    [
        ("train: {gcn_layer: 1}", "train.gcn_layer", "gcn_layers"),
        ("trian: {}", "trian", "train"),
        ("overrides: {demo: {grapf: {}}}", "overrides.demo.grapf", "graph"),
        ("overrides: {demo: {graph: {metrik: dot}}}", "graph.metrik", "metric"),
    ],
)
def test_an_unknown_key_raises_and_names_the_nearest(tmp_path, text, place, near):
    with pytest.raises(ConfigError) as caught:
        load_params(write(tmp_path, text), dataset="demo")
    assert place in str(caught.value)
    assert f"did you mean '{near}'?" in str(caught.value)


def test_a_set_beats_an_override_and_an_override_beats_the_section(tmp_path):
    path = write(
        tmp_path, "train: {d_z: 1, d_h: 1, d_v: 1}\noverrides: {a: {train: {d_h: 2, d_v: 2}}}"
    )
    train = load_params(path, "a", ("train.d_v=3",)).train
    assert (train.d_z, train.d_h, train.d_v) == (1, 2, 3)
    assert load_params(path, "b").train.d_h == 1


@pytest.mark.parametrize(
    ("text", "assignments", "message"),
    [
        ("train: {d_z: 0}", (), "train.d_z"),
        ("train: {d_z: many}", (), "found 'many'"),
        ("graph: {metric: kernal}", (), "graph.metric"),
        ("- 1", (), "expected a mapping"),
        ("a: [", (), "not YAML"),
        ("", ("train.d_z",), "expected key=value"),
        ("train: 1", ("train.d_z=2",), "no section"),
        ("", ("train.d_z=" + "9" * 5000,), "99...: the value"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(tmp_path, text, assignments, message):
    with pytest.raises(ConfigError) as caught:
        load_params(write(tmp_path, text), None, assignments)
    assert message in str(caught.value)


def test_a_long_key_is_cut_in_the_message(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load_params(write(tmp_path, f"train:\n  ? {'k' * 70_000}\n  : 1"))
    assert "unknown key" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_missing_parameter_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such parameter file"):
        load_params(tmp_path / "none.yaml")


def test_the_graphs_digest_leaves_out_what_changes_no_entry():
    assert GraphConfig(block_rows=7).digest == GraphConfig().digest
    assert GraphConfig(metric="dot").digest != GraphConfig().digest


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("overrides: [a]", "overrides: expected a mapping, found list"),
        ("overrides: {demo: 3}", r"overrides\.demo: expected a mapping, found int"),
        ("overrides: {demo: {train: [1]}}", r"demo\.train: expected a mapping, found list"),
        ("{train: [1], overrides: {demo: {train: {d_z: 2}}}}", "train: expected a mapping"),
        ("extract: {lexical_ngrams: [4, 2]}", "expected \\[shortest, longest\\]"),
        ("extract: {lexical_ngrams: [0, 2]}", "expected \\[shortest, longest\\]"),
        ("train: {units: []}", r"train\.units"),
    ],
)
def test_a_value_of_the_wrong_form_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load_params(write(tmp_path, text), "demo")


class Leaf(Section):
    depth: int = 1


class Tree(Section):
    row: tuple[Leaf, ...] = ()
    named: dict[str, Leaf] = Field(default_factory=dict)
    top: Leaf | None = None
    every: list[dict[str, Leaf | None]] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"row": [{}, {"dpeth": 2}]}, "row.1.dpeth"),
        ({"named": {"depth": {"dpeth": 2}}}, "named.depth.dpeth"),
        ({"top": {"dpeth": 2}}, "top.dpeth"),
        ({"every": [{"a": {"dpeth": 2}}]}, "every.0.a.dpeth"),
    ],
)
def test_an_unknown_key_of_a_section_within_another_is_named(values, place):
    with pytest.raises(ConfigError, match=f"here: {place}: unknown key; did you mean 'depth'"):
        validated(Tree, values, "here")


def test_of_many_errors_the_first_are_named_and_the_others_counted():
    with pytest.raises(ConfigError) as caught:
        validated(Tree, {"row": [0] * 1234}, "here")
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == [f"row.{i}" for i in range(10)]
    assert lines[-1] == "here: and 1,224 more"


def test_a_repeated_section_or_key_is_an_error_with_both_lines(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("train: {d_z: 8}\noverrides:\n  a: {}\noverrides:\n  b: {}\n")
    with pytest.raises(ConfigError, match="'overrides': in line 2 and line 4"):
        load_params(file)
