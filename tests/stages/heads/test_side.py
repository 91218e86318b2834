"""What every unit and every baseline keeps of a batch: cut, turned into arrays, and back."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stages.features.features import MentionInput
from stages.features.names import NameRows
from stages.heads.side import Ragged, Side
from stages.heads.units.lexical import LexicalSide
from stages.heads.units.registry import UNITS
from stages.heads.variants import VARIANTS
from tests.support.small_heads import N, config, features

BASELINES = [name for name, entry in VARIANTS.items() if not entry.has_units]
MODELS = [(unit,) for unit in UNITS] + [tuple(UNITS)] + BASELINES
"""Units of the matcher, or a baseline's name."""
NAMED = [("lexical",), tuple(UNITS), "tfidf", "zero-shot", "dzmned"]
"""Of them, what reads names: entities may have several, and the units weigh their prior."""
OF_TEXT = {"frozen_scale": 3.0, "contained_scale": 2.0}
"""With every term that has an array of its own."""


def named(seed):
    """Features with the names' arrays, one row of which is empty."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name in ("lexical", "words"):
        dense = rng.random((N, 9), dtype=np.float32) * (rng.random((N, 9)) < 0.4)
        dense[seed % N] = 0
        arrays[name] = sp.csr_array(dense)
    return replace(features(seed, missing=[1]), arrays=arrays)


def aliased(seed):
    """The same, of entities with one to three names and a prior."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 4, N))])
    arrays = {"prior": -rng.random((N, 1), dtype=np.float32)}
    for name in ("lexical", "words"):
        dense = rng.random((offsets[-1], 9), dtype=np.float32)
        dense *= rng.random(dense.shape) < 0.4
        arrays[name] = NameRows(sp.csr_array(dense), offsets)
    return replace(named(seed), arrays=arrays)


def built(model, several=False):
    """(heads, side of N mentions, side of N entities)"""
    torch.manual_seed(0)
    variant, units = (model, ()) if isinstance(model, str) else ("mimic", model)
    weighs = several and bool(units)
    heads = VARIANTS[variant].build(config(variant, units=units, prior=weighs, **OF_TEXT)).eval()
    with torch.no_grad():
        mentions, _ = heads.mentions(MentionInput(named(1)))
        return heads, mentions, heads.entities((aliased if several else named)(2))


def items(rows):
    """Each item of a named array, as lists of numbers."""
    if isinstance(rows, Ragged):
        ends = rows.offsets.tolist()
        return [rows.values[lo:hi].tolist() for lo, hi in pairwise(ends)]
    return rows.tolist()


def numbers(side):
    return {name: items(rows) for name, rows in side.to_arrays().items()}


def ids(case):
    model, several = case
    return (model if isinstance(model, str) else "+".join(model)) + " aliases" * several


CASES = [(model, False) for model in MODELS] + [(model, True) for model in NAMED]


@pytest.fixture(scope="module", params=CASES, ids=ids)
def sides(request):
    return built(*request.param)


ROWS = st.lists(st.integers(0, N - 1), max_size=2 * N)


@settings(max_examples=20)
@given(rows=ROWS)
def test_taken_items_are_those_of_the_rows_in_their_order(sides, rows):
    for side in sides[1:]:
        whole, taken = numbers(side), numbers(side.take(torch.tensor(rows, dtype=torch.int64)))
        assert taken == {name: [of[row] for row in rows] for name, of in whole.items()}


@settings(max_examples=20)
@given(rows=ROWS, like=st.integers(0, N - 1))
def test_arrays_turn_back_into_the_side_that_gave_them(sides, rows, like):
    for side in sides[1:]:
        taken = side.take(torch.tensor(rows, dtype=torch.int64))
        back = side.take(torch.tensor([like])).from_arrays(taken.to_arrays())
        assert type(back) is type(taken)
        assert numbers(back) == numbers(taken)


@torch.no_grad()
def test_what_comes_back_scores_as_what_went(sides):
    heads, mentions, entities = sides
    want = heads.matcher.pairs(mentions, entities)
    one = torch.tensor([0])
    back = [side.take(one).from_arrays(side.to_arrays()) for side in (mentions, entities)]
    found = heads.matcher.pairs(*back)
    assert found.total.equal(want.total)
    assert all(scores.equal(want.units[name]) for name, scores in found.units.items())


@torch.no_grad()
@settings(max_examples=20)
@given(mention_rows=ROWS.filter(bool), entity_rows=ROWS.filter(bool))
def test_taken_items_score_as_in_the_whole(sides, mention_rows, entity_rows):
    heads, mentions, entities = sides
    whole = heads.matcher.pairs(mentions, entities).total
    some = (mentions.take(torch.tensor(mention_rows)), entities.take(torch.tensor(entity_rows)))
    torch.testing.assert_close(
        heads.matcher.pairs(*some).total, whole[mention_rows][:, entity_rows], rtol=1e-4, atol=1e-4
    )


def test_every_unit_and_baseline_names_its_arrays_apart(sides):
    for side in sides[1:]:
        names = list(side.to_arrays())
        assert len(names) == len(set(names)) > 0
        assert not any(other.startswith(f"{name}/") for name in names for other in names)


@dataclass(frozen=True)
class Inner(Side):
    a: Tensor
    b: Tensor | None = None


@dataclass(frozen=True)
class Outer(Side):
    one: Inner
    two: Inner


def test_an_array_is_named_by_the_path_of_its_field_and_what_is_left_out_stays_out():
    a, b = torch.arange(3.0), torch.arange(6.0).view(3, 2)
    side = Outer(Inner(a), Inner(a + 1, b))
    assert list(side.to_arrays()) == ["one/a", "two/a", "two/b"]
    back = side.from_arrays({name: rows * 2 for name, rows in side.to_arrays().items()})
    assert back.one.b is None
    assert back.two.a.equal(2 * (a + 1))
    assert back.two.b.equal(2 * b)


def test_a_side_that_lacks_an_array_says_which():
    with pytest.raises(KeyError, match="b"):
        Inner(torch.zeros(1), torch.zeros(1)).from_arrays({"a": torch.zeros(2)})


@pytest.mark.parametrize("change", ["negative", "too few", "no name"])
def test_names_that_do_not_add_up_are_refused(change):
    side = LexicalSide(aliased(2).arrays["lexical"], None)
    arrays = side.to_arrays()
    lengths = arrays["ngrams/lengths"]
    values, offsets = lengths.values.clone(), lengths.offsets.clone()
    if change == "negative":
        values[0], values[1] = -1, values[0] + values[1] + 1
    elif change == "too few":
        values[-1] -= 1
    else:
        offsets[1] = 0
    with pytest.raises(ValueError, match="name"):
        side.from_arrays({**arrays, "ngrams/lengths": Ragged(values, offsets)})


def test_the_prior_is_a_term_of_the_lexical_unit_and_none_of_a_knowledge_base_without():
    torch.manual_seed(0)
    heads, mentions, entities = built(("lexical",), several=True)
    unit = heads.matcher.units["lexical"]
    with_it = heads.matcher.pairs(mentions, entities).units["lexical"]
    unit.w_p.data.fill_(0)
    without = heads.matcher.pairs(mentions, entities).units["lexical"]
    prior = torch.from_numpy(aliased(2).arrays["prior"])[:, 0]
    torch.testing.assert_close(with_it - without, (0.1 * prior).expand(N, N), rtol=1e-4, atol=1e-5)
    plain = built(("lexical",))[0].state_dict()
    assert heads.state_dict().keys() - plain.keys() == {"matcher.units.lexical.w_p"}
    assert config("mimic", units=("lexical",)).prior is False


def test_a_part_shares_memory_and_of_ragged_tensors_there_is_none():
    @dataclass(frozen=True)
    class Inner(Side):
        x: Tensor
        none: Tensor | None = None

    @dataclass(frozen=True)
    class Outer(Side):
        units: dict[str, Side]

    x = torch.arange(12.0).view(6, 2)
    part = Outer({"one": Inner(x)}).part(slice(2, 5)).units["one"]
    assert torch.equal(part.x, x[2:5])
    assert part.x.data_ptr() == x[2:].data_ptr()
    assert part.none is None
    with pytest.raises(TypeError, match="no part of it"):
        Inner(Ragged(x, torch.tensor([0, 6]))).part(slice(0, 1))
