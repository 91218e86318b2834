from dataclasses import replace

import numpy as np
import pytest
import torch

from stages.features.features import MentionInput
from stages.heads.losses import contrastive_loss
from stages.heads.matcher import Scores
from tests.support.small_heads import N_P, OPTIMIZED, N, batch, features, make


@pytest.mark.parametrize("variant", OPTIMIZED)
@pytest.mark.parametrize("more", [{}, {"adapter": "mlp", "frozen_scale": 5.0}])
def test_gradients_flow_to_every_parameter_of_every_variant(variant, more):
    model = make(variant, **more)
    with torch.no_grad():
        for p in model.parameters():  # zeros at the start would hide a dead path behind them
            p.add_(0.2 * torch.randn_like(p))
    x, entities = features(1, missing=[2]), features(2, missing=[0])
    side, optimized = model.mentions(batch(model, x))
    scores = model.matcher.pairs(side, model.entities(entities))
    (contrastive_loss(scores, torch.arange(N)) + optimized.loss_g).backward()
    dead = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert dead <= {"matcher.units.text.w_k.bias"}  # a shift of all logits: its gradient is zero


@pytest.mark.parametrize("variant", OPTIMIZED)
def test_a_mentions_score_does_not_depend_on_its_batch(variant):
    model = make(variant).eval()
    x, entities = features(1, missing=[2, 5]), features(2, missing=[0])
    with torch.no_grad():
        side = model.entities(entities)
        whole = model.matcher.pairs(model.mentions(batch(model, x))[0], side).total
        for rows in ([0], [3, 1], [5, 2, 4]):
            some = model.matcher.pairs(model.mentions(batch(model, x, rows))[0], side).total
            torch.testing.assert_close(some, whole[rows], rtol=1e-4, atol=1e-5)


def test_a_variant_holds_the_parts_that_its_name_says():
    def parts(variant):
        return {name.split("_")[0].split(".")[0] for name, _ in make(variant).named_modules()}

    names = {variant: parts(variant) for variant in OPTIMIZED}
    assert {"vae", "gcn", "fusion", "threshold"} <= names["melov"]
    assert "vae" not in names["no-inter"]
    assert {"gcn", "fusion"} <= names["no-inter"]
    assert "gcn" not in names["no-intra"]
    assert {"vae", "fusion"} <= names["no-intra"]
    for plain in ("mimic", "filter"):
        assert not {"vae", "gcn", "fusion"} & names[plain]
    assert not list(make("no-tau").threshold.parameters())
    assert float(make("no-tau").threshold.tau) == pytest.approx(0.1)


def test_entities_keep_their_original_features():
    """The optimisation is the mentions': the entities' side of melov and mimic is the same."""
    melov, mimic = make("melov"), make("mimic")
    mimic.load_state_dict(
        {name: w for name, w in melov.state_dict().items() if name in mimic.state_dict()}
    )
    a, b = melov.entities(features(2, missing=[1])), mimic.entities(features(2, missing=[1]))
    torch.testing.assert_close(a.units["cross"].r, b.units["cross"].r)
    torch.testing.assert_close(a.units["vision"].query.q, b.units["vision"].query.q)


def test_without_a_picture_the_cached_zeros_are_not_what_the_matcher_sees():
    model = make("mimic").eval()
    x = features(1, missing=[2])
    found, _ = model.optimize(MentionInput(x))
    torch.testing.assert_close(found.image_global[2], model.no_picture[0])
    torch.testing.assert_close(found.image_local[2], model.no_picture[1].expand(N_P, -1))
    torch.testing.assert_close(found.image_global[0], model.w_v(x.image_global[0]))


def test_a_mention_without_a_picture_gets_its_neighbours():
    """The aggregated source of a mention without a picture moves with its neighbour's picture."""
    model = make("no-inter").eval()
    x = features(1, missing=[0])
    other = replace(x, image_global=x.image_global.clone())
    other.image_global[1] += 1
    with torch.no_grad():
        a = model.optimize(batch(model, x))[0].image_global
        b = model.optimize(batch(model, other))[0].image_global
    assert not torch.allclose(a[0], b[0])  # 0 and 1 are neighbours
    torch.testing.assert_close(a[3], b[3])  # 1 and 2 are joined below τ only


def test_units_without_pictures_need_no_image_features():
    model = make(units=("text",))
    x = replace(features(1), image_global=None, image_local=None)
    side, optimized = model.mentions(MentionInput(x))
    assert optimized.loss_g.item() == 0
    assert model.matcher.pairs(side, model.entities(x)).total.shape == (N, N)
    assert not any("vae" in name or "gcn" in name for name, _ in model.named_parameters())


def test_the_loss_sums_over_the_total_and_each_unit():
    torch.manual_seed(0)
    units = {"text": torch.randn(3, 4), "vision": torch.randn(3, 4)}
    scores = Scores((units["text"] + units["vision"]) / 2, units)
    target = torch.tensor([2, 0, 2])
    want = 0.0
    for part in (scores.total, *units.values()):
        p = part.double().numpy()
        for i, j in enumerate(target.tolist()):
            want += -np.log(np.exp(p[i, j]) / np.exp(p[i]).sum()) / 3
    assert contrastive_loss(scores, target).item() == pytest.approx(want, rel=1e-5)


def test_one_unit_counts_once():
    part = torch.randn(3, 4)
    target = torch.tensor([0, 1, 2])
    alone = contrastive_loss(Scores(part, {"text": part}), target)
    torch.testing.assert_close(alone, torch.nn.functional.cross_entropy(part, target))


def test_the_adapter_starts_as_the_identity():
    plain, adapted = make("mimic"), make("mimic", adapter="mlp")
    adapted.load_state_dict(plain.state_dict(), strict=False)
    x, entities = MentionInput(features(1)), features(2)
    with torch.no_grad():
        a = plain.matcher.pairs(plain.mentions(x)[0], plain.entities(entities)).total
        b = adapted.matcher.pairs(adapted.mentions(x)[0], adapted.entities(entities)).total
    torch.testing.assert_close(a, b)


def test_the_adapter_and_dropout_leave_the_frozen_cosine_alone():
    model = make("mimic", units=("text",), adapter="mlp", dropout=0.5, frozen_scale=3.0)
    with torch.no_grad():
        model.adapter_global.w_2.weight.normal_()
    x, entities = features(1), features(2)
    of_mentions = model.mentions(MentionInput(x))[0].units["text"]
    of_entities = model.entities(entities).units["text"]
    more = model.matcher.units["text"].f.exp() * (of_mentions.frozen @ of_entities.frozen.T)
    cosine = torch.nn.functional.cosine_similarity(
        x.text_global[:, None], entities.text_global[None], dim=-1
    )
    torch.testing.assert_close(more, 3 * cosine)
