from pathlib import Path

import pytest

from stages.ablation.grid import load_grid
from stages.config import GraphConfig, Params, TrainConfig
from stages.section import ConfigError

PARAMS = Params(seeds=(4,), train=TrainConfig(d_v=8))
GRIDS = Path(__file__).parents[3] / "grids"


def grid(tmp_path, text):
    (tmp_path / "g.yaml").write_text(text)
    return load_grid(tmp_path / "g.yaml", PARAMS)


def test_settings_stand_on_the_grids_own_which_stand_on_the_parameters(tmp_path):
    found = grid(
        tmp_path,
        """
        train: {epochs: 2, d_h: 4}
        runs:
          - {name: mimic}
          - {name: z, variant: no-tau, train: {d_h: 5}, graph: {metric: dot}}
        """,
    )
    mimic, z = found.runs
    assert (found.name, found.seeds) == ("g", (4,))
    assert (mimic.variant, z.variant) == ("mimic", "no-tau")
    assert mimic.train == TrainConfig(d_v=8, epochs=2, d_h=4)
    assert z.train == TrainConfig(d_v=8, epochs=2, d_h=5)
    assert (mimic.graph, z.graph) == (GraphConfig(), GraphConfig(metric="dot"))
    assert z.changed == {"train.d_h": 5, "graph.metric": "dot"}


def test_a_product_is_every_combination_named_after_its_values(tmp_path):
    text = "product: {variant: [melov, mimic], train.units: [[text], [text, cross]]}"
    runs = grid(tmp_path, text).runs
    names = [
        "melov,units=text",
        "melov,units=text+cross",
        "mimic,units=text",
        "mimic,units=text+cross",
    ]
    assert [run.name for run in runs] == names
    assert runs[3].variant == "mimic"
    assert runs[3].train.units == ("text", "cross")


def test_a_preset_of_a_grid_or_a_run_decides_what_the_parameters_do_not_say(tmp_path):
    text = """
        train: {preset: paper}
        runs:
          - {name: melov}
          - {name: strong, train: {preset: strong, dropout: 0.3}}
        """
    melov, strong = grid(tmp_path, text).runs
    assert melov.train == TrainConfig(preset="paper", d_v=8)
    assert strong.train == TrainConfig(preset="strong", d_v=8, dropout=0.3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "without runs"),
        ("- a", "expected a mapping"),
        ("runs: {", "not YAML"),
        ("run: []", "did you mean 'runs'"),
        (
            "runs: [{name: melov, trian: {}}]",
            r"runs\[0\]: trian: unknown key; did you mean 'train'",
        ),
        ("runs: [{name: a, train: {d_zz: 1}}]", r"runs\[0\].train: d_zz: .* did you mean 'd_z'"),
        ("train: {epoch: 1}\nruns: [{name: a}]", "did you mean 'epochs'"),
        (
            "runs: [{name: a, variant: melof}]",
            "variant: expected one of melov, .* did you mean 'melov'",
        ),
        ("runs: [{name: meter}]", r"runs\[0\]: METER cannot be run: METER's published"),
        ("runs: [{name: a, variant: meter}]", "METER cannot be run: .* no public package loads"),
        ("runs: [{name: ../a}]", "name"),
        ("runs: [{variant: melov}]", "name"),
        (f"runs: [{{name: {'a' * 201}}}]", "name: more than 200 bytes; list the run"),
        (f"runs: [{{name: {'é' * 101}}}]", "name: more than 200 bytes"),
        ("runs: [{name: a}, {name: a}]", "named alike: a"),
        ("seeds: [1, 1]\nruns: [{name: a}]", "seeds are alike: 1"),
        ("seeds: []\nruns: [{name: a}]", "seeds"),
        ("seeds: [-1]\nruns: [{name: a}]", "seeds"),
        ("product: {train.d_zz: [1]}", "did you mean 'train.d_z'"),
        ("product: {train.d_z: []}", "product"),
        (
            "product: {train.d_z: &a [1, 2], train.d_v: *a, train.d_h: *a}\nseeds: "
            f"{list(range(1251))}",
            "8 runs by 1,251 seeds, more than 10,000",
        ),
        (
            "product: {"
            + ", ".join(
                f"train.{key}: {list(range(1, 50))}"
                for key in ("d_z", "d_v", "d_h", "epochs", "patience")
            )
            + "}",
            "282,475,249 combinations",
        ),
        ("product: {train.d_z: [x]}", "d_z"),
    ],
)
def test_a_bad_grid_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        grid(tmp_path, text)
    assert str(tmp_path / "g.yaml") in str(caught.value)


@pytest.mark.parametrize("name", ["a$(rm -rf x)", "-a", "x\x1b[31m", "a" * 201, "'", ".", "a|b"])
def test_a_grid_file_whose_name_cannot_name_a_folder_is_refused(tmp_path, name):
    file = tmp_path / f"{name}.yaml"
    file.write_text("runs: [{name: a}]")
    with pytest.raises(ConfigError, match="names the grid's folder") as caught:
        load_grid(file, Params())
    assert caught.value.hint == "rename the file"


GOOD_GRIDS = {
    "table1": 3,
    "table2": 3,
    "table3": 3,
    "figure3": 3,
    "hard-negatives": 5,
    "options": 3,
    "parts": 3,
    "five-seeds": 5,
    "precision": 3,
    "strong": 5,
    "richpedia-text": 3,
}  # seeds


@pytest.mark.parametrize("path", sorted(GRIDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_grids_of_the_project_are_good(path):
    found = load_grid(path, Params())
    assert len(found.seeds) == GOOD_GRIDS[path.stem]
    if path.stem.startswith(("table", "figure")):  # the paper's compare; a single trial need not
        assert len(found.runs) >= 4
    command = f"python -m pipeline.ablate --dataset {{}} --grid grids/{path.name}"
    head = path.read_text().split("seeds:")[0]
    assert any(command.format(name) in head for name in ("wikimel", "demo", "richpedia-text"))


def test_hard_negatives_are_in_both_rows_of_their_grid():
    runs = load_grid(GRIDS / "hard-negatives.yaml", Params()).runs
    assert [(run.variant, run.train.hard_negatives) for run in runs] == [("melov", 3), ("mimic", 3)]


def test_table_3_has_one_run_for_each_metric():
    runs = load_grid(GRIDS / "table3.yaml", Params()).runs
    assert {run.graph.metric for run in runs} == {"kernel", "euclidean", "cosine", "dot"}
    assert {run.variant for run in runs} == {"melov"}
