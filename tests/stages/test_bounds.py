"""Every number of the settings has a least and a largest value: both work, the next ones do not."""

import math
from importlib import import_module

import annotated_types as bounds
import click
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import config
from stages.heads.presets import DECIDED
from stages.heads.settings import HeadsConfig, HeadsSettings
from stages.heads.variants import VARIANTS
from stages.section import ConfigError, Section, validated
from stages.train_settings import TrainConfig
from tests.support.commands import COMMANDS
from tests.support.small_heads import config as small

SECTIONS = [
    kind for kind in vars(config).values()
    if isinstance(kind, type) and issubclass(kind, Section) and kind is not Section
]  # fmt: skip
NUMBERS = [
    (kind, name, field)
    for kind in (*SECTIONS, HeadsConfig) for name, field in kind.model_fields.items()
    if field.annotation in (int, float)
]  # fmt: skip
IDS = [f"{kind.__name__}.{name}" for kind, name, _ in NUMBERS]


def ends(kind, field):
    """The least and the largest value that are accepted."""
    low = high = None
    for bound in field.metadata:
        if isinstance(bound, bounds.Ge):
            low = bound.ge
        if isinstance(bound, bounds.Le):
            high = bound.le
        if isinstance(bound, bounds.Gt):
            low = math.nextafter(bound.gt, math.inf)
        if isinstance(bound, bounds.Lt):
            high = math.nextafter(bound.lt, -math.inf)
    assert low is not None, "no least value"
    assert high is not None, "no largest value"
    return (low, high) if field.annotation is int else (float(low), float(high))


def given_values(kind, name, value):
    """A section in which the field has the value, and all that is required has some."""
    needed = {"variant": "melov", "joint_space": False, "d_t": 1, "d_local": 1}
    required = {key for key, field in kind.model_fields.items() if field.is_required()}
    return {**{key: needed[key] for key in required}, name: value}


@pytest.mark.parametrize(("kind", "name", "field"), NUMBERS, ids=IDS)
def test_the_ends_are_accepted_and_what_lies_beyond_is_one_clear_error(kind, name, field):
    low, high = ends(kind, field)
    for value in (low, high):
        assert getattr(validated(kind, given_values(kind, name, value), "here"), name) == value
    beyond = [low - 1, high + 1] if field.annotation is int else [
        math.nextafter(low, -math.inf), math.nextafter(high, math.inf), 10**400, -(10**400),
    ]  # fmt: skip
    nothing = () if kind is TrainConfig and name in DECIDED else (None,)  # null: the preset's
    odd = (math.nan, math.inf, -math.inf, 2**64, -(2**64), True, "x", [1], *nothing)
    for value in (*beyond, *odd):
        with pytest.raises(ConfigError) as error:
            validated(kind, given_values(kind, name, value), "here")
        said = str(error.value)
        assert said.startswith(f"here: {name}: "), said
        assert len(said) < 300
        assert "\n" not in said


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_value_is_taken_as_it_is_or_refused(data):
    kind, name, field = data.draw(st.sampled_from(NUMBERS))
    low, high = ends(kind, field)
    value = data.draw(st.integers() | st.floats())
    if field.annotation is int and value == value and abs(value) != math.inf:
        strict = any(getattr(rule, "strict", False) for rule in field.metadata)
        whole = isinstance(value, int) if strict else value == int(value)
        inside = low <= value <= high and whole
    else:
        inside = low <= value <= high
    if inside:
        assert getattr(validated(kind, given_values(kind, name, value), "here"), name) == value
    else:
        with pytest.raises(ConfigError, match=f"here: {name}: "):
            validated(kind, given_values(kind, name, value), "here")


@pytest.mark.parametrize("name", [
    name for name, field in HeadsSettings.model_fields.items()
    if field.annotation in (int, float) and name not in ("d_v", "d_h", "d_z")
])  # fmt: skip
def test_heads_are_built_at_both_ends(name):
    for value in ends(HeadsSettings, HeadsSettings.model_fields[name]):
        units = ("text", "vision", "cross", "lexical")
        made = {**small(units=units).model_dump(), "floor": 0.0, "adapter": "mlp", name: value}
        model = VARIANTS["melov"].build(HeadsConfig.model_validate(made))
        assert all(torch.isfinite(weight).all() for weight in model.parameters()), (name, value)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_of_a_command_has_both_ends(command):
    main = import_module(f"pipeline.{command}").main
    for option in main.params:
        if option.type.name in ("integer", "float"):
            raise AssertionError(f"{command} {option.opts}: no range")
        if isinstance(option.type, click.IntRange):
            assert option.type.min is not None, option.opts
            assert option.type.max is not None, option.opts


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (config.ExtractConfig, {"text_encoder": ""}),
        (config.ExtractConfig, {"text_encoder": "a\0b"}),
        (config.ExtractConfig, {"image_encoder": "a\nb"}),
        (config.ExtractConfig, {"revision": "x" * 5000}),
        (config.ExtractConfig, {"lexical_ngrams": [True, 2]}),
        (config.Params, {"seeds": [True]}),
        (config.Params, {"seeds": [2**32]}),
        (config.Params, {"seeds": list(range(10_001))}),
    ],
)
def test_texts_and_lists_have_limits_too(kind, values):
    with pytest.raises(ConfigError) as error:
        validated(kind, values, "here")
    assert len(str(error.value)) < 300


def test_the_bounds_of_a_number_are_found():
    """Or the tests above would test nothing."""
    assert len(NUMBERS) > 45
