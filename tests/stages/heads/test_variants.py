"""Each variant is MELOV with one thing changed: on equal weights everything else is equal."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stages.heads.variants import VARIANTS
from tests.support.small_heads import OPTIMIZED, batch, features, make

OTHERS = [name for name in OPTIMIZED if name != "melov"]
MISSING = [2, 5]


@pytest.fixture(scope="module")
def melov():
    model = make("melov", adapter="mlp").eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model


def like(melov, variant):
    """The variant with MELOV's weights: it has none of its own."""
    model = make(variant, adapter="mlp").eval()
    shared = {n: w for n, w in melov.state_dict().items() if n in model.state_dict()}
    assert shared.keys() == model.state_dict().keys()
    model.load_state_dict(shared)
    return model


def seen(model, x):
    with torch.no_grad():
        return model.optimize(batch(model, x))


@pytest.mark.parametrize("variant", OTHERS)
def test_a_variant_changes_the_mentions_pictures_and_nothing_else(melov, variant):
    model, x, entities = like(melov, variant), features(1, missing=MISSING), features(2)
    (a, _), (b, _) = seen(melov, x), seen(model, x)
    assert not torch.allclose(a.image_global, b.image_global)
    assert not torch.allclose(a.image_local, b.image_local)
    for name in ("text_global", "text_local", "text_mask", "has_image"):
        assert getattr(a, name).equal(getattr(b, name))
    with torch.no_grad():
        # The same entity side, and the same matcher between them.
        one, other = melov.entities(entities), model.entities(entities)
        side = melov.matcher.mention_side(a)
        want = melov.matcher.pairs(side, one).total
        assert model.matcher.pairs(model.matcher.mention_side(a), other).total.equal(want)


@pytest.mark.parametrize("variant", OTHERS)
def test_the_generation_loss_is_there_where_something_is_generated(melov, variant):
    x = features(1, missing=MISSING)
    got, want = (seen(m, x)[1].loss_g for m in (like(melov, variant), melov))
    assert want > 0
    # Without a GCN every mention's picture is projected, with one those that are there.
    torch.testing.assert_close(got, want if "generated" in VARIANTS[variant].sources else got * 0)


@pytest.mark.parametrize("variant", ["no-inter", "no-intra"])
def test_what_is_left_of_the_sources_is_fused_as_before(melov, variant):
    """α over the sources that remain is MELOV's α over them, made to sum to 1 again."""
    x = features(1, missing=MISSING)
    whole, part = (seen(m, x)[1].alpha for m in (melov, like(melov, variant)))
    kept = [VARIANTS["melov"].sources.index(source) for source in VARIANTS[variant].sources]
    want = whole[:, kept] / whole[:, kept].sum(1, keepdim=True)
    torch.testing.assert_close(part, want)


def test_no_intra_reads_no_neighbour_and_no_inter_no_text(melov):
    x = features(1, missing=MISSING)
    neighbour = replace(x, image_global=x.image_global.clone())
    neighbour.image_global[1] += 1  # of mention 0
    said = replace(x, text_global=x.text_global + 1, text_local=x.text_local * 2)
    for changed, blind in ((neighbour, "no-intra"), (said, "no-inter")):
        for variant in ("melov", "no-inter", "no-intra"):
            model = like(melov, variant)
            a, b = (seen(model, one)[0].image_global[0] for one in (x, changed))
            assert torch.allclose(a, b) is (variant == blind)


def test_no_tau_is_melov_with_its_threshold_at_the_floor(melov):
    x, fixed = features(1, missing=MISSING), like(melov, "no-tau")
    lowered = like(melov, "melov")
    with torch.no_grad():
        lowered.threshold.theta.fill_(-100.0)
    assert float(lowered.threshold.tau.detach()) == pytest.approx(float(fixed.threshold.tau))
    torch.testing.assert_close(seen(lowered, x)[0].image_global, seen(fixed, x)[0].image_global)


def test_mimic_and_filter_leave_a_picture_as_it_is(melov):
    x = features(1, missing=MISSING)
    with torch.no_grad():
        original = melov.w_v(x.image_global)
    for variant in ("mimic", "filter"):
        found = seen(like(melov, variant), x)[0].image_global
        kept = np.setdiff1d(np.arange(len(x)), MISSING)
        torch.testing.assert_close(found[kept], original[kept])
        torch.testing.assert_close(found[MISSING], melov.no_picture[0].expand(2, -1))
