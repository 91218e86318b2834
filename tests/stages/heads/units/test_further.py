"""The unit of further encoders against the cosines that it is the sum of."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from stages.heads.settings import FurtherShape
from stages.heads.units.further import FurtherUnit
from stages.heads.units.unit import CodedUnit, TermedUnit
from tests.support.small_heads import config, features

SHAPES = {
    "keys": FurtherShape(width=12, pictures=False),  # a name that nn.ModuleDict would refuse
    "vit": FurtherShape(width=9, pictures=True),
}


def unit(adapter="none", seed=0, **more) -> FurtherUnit:
    torch.manual_seed(seed)
    made = FurtherUnit(config(units=("further",), further=SHAPES, adapter=adapter, **more))
    made.reset_parameters()
    return made


def said(seed, n, mentions):
    drawn = torch.Generator().manual_seed(seed)
    x = {name: torch.randn(n, s.width, generator=drawn) for name, s in SHAPES.items()}
    x["vit"][0] = 0  # no picture
    if mentions:
        x["keys/sentence"] = torch.randn(n, 12, generator=drawn)
    return replace(features(seed, n), further=x)


def cosines(a, b):
    return torch.stack([torch.stack([F.cosine_similarity(x, y, dim=0) for y in b]) for x in a])


@pytest.mark.parametrize("adapter", ["none", "mlp"])
def test_the_start_is_the_frozen_encoders_own_sum(adapter):
    made, m, e = unit(adapter, further_scale=3.0), said(1, 4, True), said(2, 5, False)
    found = made.pairs(made.mention_side(m), made.entity_side(e))
    want = cosines(m.further["keys"], e.further["keys"])
    want = want + cosines(m.further["keys/sentence"], e.further["keys"])
    want = want + cosines(m.further["vit"], e.further["vit"])
    torch.testing.assert_close(found, 3 * want)


def test_terms_are_named_weighed_and_add_up():
    made, m, e = unit("mlp"), said(1, 4, True), said(2, 5, False)
    assert isinstance(made, TermedUnit)
    assert isinstance(made, CodedUnit)
    sides = made.mention_side(m), made.entity_side(e)
    before = made.terms(*sides)
    assert tuple(before) == made.term_names
    assert made.term_names == ("further/keys", "further/keys/sentence", "further/vit")
    torch.testing.assert_close(sum(before.values()), made.pairs(*sides))
    for name, factor in zip(made.term_names, (2.0, 0.5, 3.0), strict=True):
        made.scales[name].multiply(factor)
        torch.testing.assert_close(made.terms(*sides)[name], factor * before[name])


@pytest.mark.parametrize("adapter", ["none", "mlp"])
def test_a_missing_picture_says_nothing_even_where_the_adapter_would(adapter):
    made, m, e = unit(adapter), said(1, 4, True), said(2, 5, False)
    if adapter == "mlp":
        for one in made.each:
            torch.nn.init.normal_(one.adapter.w_2.bias)
    found = made.terms(made.mention_side(m), made.entity_side(e))["further/vit"]
    assert not found[0].any()
    assert not found[:, 0].any()
    assert found[1:, 1:].abs().min() > 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["none", "mlp"]))
def test_the_bound_from_eight_bits_is_no_less_than_the_score(seed, adapter):
    made, m, e = unit(adapter, seed), said(seed, 3, True), said(seed + 1, 6, False)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed)))
        own, theirs = made.mention_side(m), made.entity_side(e)
        bound = made.at_most(made.reach(own), made.codes(theirs))
        exact = made.pairs(own, theirs)
    assert (bound >= exact - 1e-5 * (1 + exact.abs())).all()
    assert (bound - exact).max() < 0.2 * (1 + exact.abs().max())  # and says something


def test_a_side_is_cut_and_made_of_arrays_again():
    made, e = unit(), said(2, 5, False)
    side = made.entity_side(e)
    again = side.from_arrays(side.to_arrays())
    rows = torch.tensor([3, 1])
    m = made.mention_side(said(1, 4, True))
    whole = made.pairs(m, side)
    assert torch.equal(made.pairs(m, again), whole)
    torch.testing.assert_close(made.pairs(m, side.take(rows)), whole[:, rows])
    codes = made.codes(side)
    assert set(codes.to_arrays()) == {
        f"{name}/{part}" for name in SHAPES for part in ("codes", "scale", "lost")
    }
