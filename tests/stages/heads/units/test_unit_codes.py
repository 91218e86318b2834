"""Every unit's bound from eight bits lies above its score, and not far above."""

import pytest
import torch

from stages.heads.model import Melov
from stages.heads.side import Side
from stages.heads.units.registry import UNITS
from stages.heads.units.unit import CodedUnit, NarrowedUnit
from tests.support.small_heads import batch, config, features

CODED = [name for name, entry in UNITS.items() if entry.encoded]


def heads(seed: int, scale: float, **more) -> Melov:
    torch.manual_seed(seed)
    model = Melov(config("mimic", units=tuple(CODED), **more)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(scale * torch.randn_like(p))
    return model


@torch.inference_mode()
@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("scale", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(6))
def test_a_bound_lies_above_the_score(name, scale, seed):
    model = heads(seed, scale, frozen_scale=3.0, adapter="mlp", adapter_width=4)
    unit = model.matcher.unit(name)
    assert isinstance(unit, CodedUnit)
    mentions, _ = model.mentions(batch(model, features(seed, n=7, missing=[2])))
    entities = model.entities(features(seed + 100, n=40, missing=[0, 5]))
    exact = unit.pairs(mentions.units[name], entities.units[name])
    bound = unit.at_most(unit.reach(mentions.units[name]), unit.codes(entities.units[name]))
    assert bound.shape == exact.shape
    assert (bound >= exact).all(), (exact - bound).max()


@torch.inference_mode()
@pytest.mark.parametrize("name", ["vision", "cross"])
def test_eight_bits_blur_a_score_by_less_than_its_spread(name):
    model = heads(0, 0.1)
    unit = model.matcher.unit(name)
    mentions, _ = model.mentions(batch(model, features(1, n=20)))
    entities = model.entities(features(2, n=60))
    exact = unit.pairs(mentions.units[name], entities.units[name])
    bound = unit.at_most(unit.reach(mentions.units[name]), unit.codes(entities.units[name]))
    assert (bound - exact).mean() < 0.3 * exact.std()


@torch.inference_mode()
@pytest.mark.parametrize("name", CODED)
def test_codes_are_a_side_that_is_cut_and_named(name):
    model = heads(3, 0.3)
    unit = model.matcher.unit(name)
    codes = unit.codes(model.entities(features(4, n=9)).units[name])
    assert isinstance(codes, Side)
    rows = torch.tensor([7, 0, 3])
    part = codes.take(rows).to_arrays()
    for path, whole in codes.to_arrays().items():
        assert part[path].equal(whole[rows]), path
    mentions, _ = model.mentions(batch(model, features(5)))
    reach = unit.reach(mentions.units[name])
    torch.testing.assert_close(
        unit.at_most(reach, codes.take(rows)), unit.at_most(reach, codes)[:, rows]
    )


@torch.inference_mode()
@pytest.mark.parametrize("scale", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("seed", range(6))
def test_what_the_text_unit_takes_off_its_bound_is_too_much_by_no_means(scale, seed):
    model = heads(seed, scale, frozen_scale=3.0, d_h=12)  # more than a mention has tokens
    unit = model.matcher.unit("text")
    assert isinstance(unit, NarrowedUnit)
    mentions, _ = model.mentions(batch(model, features(seed, n=7, missing=[2])))
    entities = model.entities(features(seed + 100, n=40, missing=[0, 5])).units["text"]
    codes, taken = unit.codes(entities), 0.0
    for i in range(7):
        own = mentions.take(torch.tensor([i])).units["text"]
        excess = unit.excess(own, codes)
        bound = unit.at_most(unit.reach(own), codes)[0] - excess
        assert (bound >= unit.pairs(own, entities)[0] - 1e-4).all()
        taken += float(excess.mean())
    assert taken > 0
