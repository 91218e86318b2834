from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.features.features import Features
from stages.heads.matcher import Matcher
from stages.heads.settings import HeadsConfig
from tests.support import reference

D_T, D_LOCAL, D_V, D_H, N_P = 24, 20, 12, 16, 5
UNITS = ("text", "vision", "cross")


def config(units=UNITS, **widths) -> HeadsConfig:
    sizes = {"d_t": D_T, "d_local": D_LOCAL, "d_v": D_V, "d_h": D_H} | widths
    return HeadsConfig(variant="mimic", units=units, joint_space=False, **sizes)


def make_matcher(units=UNITS, seed=0, **widths) -> Matcher:
    """Weights drawn at random throughout, or layer norms of one and zero would hide mistakes."""
    torch.manual_seed(seed)
    matcher = Matcher(config(units, **widths))
    with torch.no_grad():
        for p in matcher.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return matcher


def make_features(lengths, seed, longest=None, garbage=0.0, d_t=D_T, d_local=D_LOCAL, n_p=N_P):
    """Ragged texts, padded to `longest` with `garbage`."""
    rng = torch.Generator().manual_seed(seed)
    n, longest = len(lengths), longest or max(lengths)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    local = torch.full((n, longest, d_local), garbage)
    for i, length in enumerate(lengths):  # token by token: padding draws nothing
        local[i, :length] = torch.randn(length, d_local, generator=rng)
    return Features(
        text_global=torch.randn(n, d_t, generator=rng),
        text_local=local,
        text_mask=mask,
        has_image=torch.ones(n, dtype=torch.bool),
        image_global=torch.randn(n, D_V, generator=rng),
        image_local=torch.randn(n, n_p, D_V, generator=rng),
    )


def rows(features: Features, index) -> Features:
    picked = {
        name: value[index]
        for name, value in vars(features).items()
        if isinstance(value, torch.Tensor)
    }
    return replace(features, **picked)


def expected(matcher, mentions, entities, unit):
    w = reference.Weights(matcher)

    def parts(x, i):
        tokens = x.text_local[i][x.text_mask[i]].double().numpy()
        t, v, patches = (
            y[i].double().numpy() for y in (x.text_global, x.image_global, x.image_local)
        )
        return t, tokens, v, patches

    scores = np.empty((len(mentions), len(entities)))
    for i in range(len(mentions)):
        t_m, tokens_m, v_m, patches_m = parts(mentions, i)
        for j in range(len(entities)):
            t_e, tokens_e, v_e, patches_e = parts(entities, j)
            if unit == "text":
                scores[i, j] = reference.text_score(w, t_m, tokens_m, t_e, tokens_e)
            elif unit == "vision":
                scores[i, j] = reference.vision_score(w, v_m, patches_m, v_e, patches_e)
            else:
                scores[i, j] = reference.cross_score(w, t_m, patches_m, t_e, patches_e)
    return scores


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("of_mentions", "of_entities"),
    [([3, 7, 1, 5], [2, 9, 4]), ([8, 8, 8], [8, 8, 8, 8])],
    ids=["ragged", "full length"],
)
def test_scores_equal_the_formulas_pair_by_pair(unit, of_mentions, of_entities):
    matcher = make_matcher()
    mentions, entities = make_features(of_mentions, 1), make_features(of_entities, 2)
    scores = matcher(mentions, entities).units[unit]
    np.testing.assert_allclose(
        scores.detach().numpy(), expected(matcher, mentions, entities, unit), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("unit", UNITS)
def test_scores_equal_the_formulas_at_the_papers_widths_with_forty_tokens(unit):
    widths = {"d_t": 512, "d_local": 512, "d_h": 96}
    matcher = make_matcher(seed=3, **widths)
    more = {"d_t": 512, "d_local": 512, "n_p": 50}
    mentions = make_features([40] * 3, 4, **more)
    entities = make_features([40] * 2, 5, **more)
    matcher = matcher.double()
    mentions, entities = (
        replace(
            x,
            **{
                k: v.double()
                for k, v in vars(x).items()
                if isinstance(v, torch.Tensor) and v.is_floating_point()
            },
        )
        for x in (mentions, entities)
    )
    scores = matcher(mentions, entities).units[unit]
    np.testing.assert_allclose(
        scores.detach().numpy(), expected(matcher, mentions, entities, unit), rtol=1e-8, atol=1e-8
    )


def test_the_total_is_the_mean_of_the_units_in_use():
    mentions, entities = make_features([3, 4], 1), make_features([2, 5, 6], 2)
    scores = make_matcher()(mentions, entities)
    torch.testing.assert_close(scores.total, sum(scores.units.values()) / 3)
    alone = make_matcher(units=("cross",))(mentions, entities)
    torch.testing.assert_close(alone.total, alone.units["cross"])


def test_blocks_of_entities_outside_training_give_the_scores_of_one_block(monkeypatch):
    matcher = make_matcher()
    mentions, entities = make_features([3, 7, 2], 1), make_features([4, 1, 6, 5, 2], 2)
    whole = matcher(mentions, entities).total.detach()
    monkeypatch.setattr("stages.heads.units.attention.LOGITS_AT_ONCE", 40)
    with torch.no_grad():
        torch.testing.assert_close(matcher(mentions, entities).total, whole)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 9))
def test_padding_takes_part_in_nothing(lengths, extra):
    matcher = make_matcher()
    entities = make_features([2, 6, 3], 2)
    tight = make_features(lengths, 1)
    loose = make_features(lengths, 1, longest=max(lengths) + extra, garbage=1e3)
    with torch.no_grad():
        want = matcher(tight, entities).total
        torch.testing.assert_close(matcher(loose, entities).total, want, rtol=1e-4, atol=1e-4)
        turned = matcher(entities, tight).total
        torch.testing.assert_close(matcher(entities, loose).total, turned, rtol=1e-4, atol=1e-4)


def test_a_pairs_score_does_not_depend_on_the_batch_it_comes_in():
    matcher = make_matcher()
    mentions, entities = make_features([3, 7, 1, 5], 1), make_features([2, 9, 4], 2)
    with torch.no_grad():
        whole = matcher(mentions, entities).total
        for i in range(4):
            for j in range(3):
                alone = matcher(rows(mentions, [i]), rows(entities, [j])).total
                torch.testing.assert_close(alone[0, 0], whole[i, j], rtol=1e-4, atol=1e-4)


def test_gradients_flow_to_every_parameter():
    matcher = make_matcher(units=(*UNITS, "lexical"))
    vocabulary = sp.csr_array(np.random.default_rng(0).random((4, 6), dtype=np.float32))
    mentions = replace(make_features([3, 7, 1, 5], 1), arrays={"lexical": vocabulary})
    entities = replace(make_features([2, 9, 4, 4], 2), arrays={"lexical": vocabulary})
    scores = matcher(mentions, entities)
    sum(part.sin().sum() for part in scores.units.values()).backward()
    dead = [n for n, p in matcher.named_parameters() if p.grad is None or not p.grad.any()]
    # A bias added to every key shifts all logits of a softmax alike: its exact gradient is zero.
    assert dead == [] or dead == ["units.text.w_k.bias"]


def test_the_gradient_equals_finite_differences():
    matcher = make_matcher(d_t=6, d_local=5, d_h=4).double()
    small = {"d_t": 6, "d_local": 5, "n_p": 2}
    mentions, entities = make_features([3, 2], 1, **small), make_features([2, 4], 2, **small)
    mentions, entities = (
        replace(
            x,
            **{
                k: v.double()
                for k, v in vars(x).items()
                if isinstance(v, torch.Tensor) and v.is_floating_point()
            },
        )
        for x in (mentions, entities)
    )
    inputs = [
        mentions.text_global,
        mentions.text_local,
        mentions.image_global,
        mentions.image_local,
    ]
    for x in inputs:
        x.requires_grad_(True)

    def total(t, tokens, v, patches):
        made = replace(
            mentions, text_global=t, text_local=tokens, image_global=v, image_local=patches
        )
        return matcher(made, entities).total

    assert torch.autograd.gradcheck(total, inputs, eps=1e-6, atol=1e-5)


def test_the_lexical_score_is_the_scaled_cosine_of_the_rows():
    matcher = make_matcher(units=("lexical",))
    m = np.array([[0.6, 0.8, 0.0], [1.0, 0.0, 0.0]], dtype=np.float32)
    e = np.array([[0.0, 1.0, 0.0], [0.6, 0.0, 0.8]], dtype=np.float32)
    mentions = replace(make_features([1, 1], 1), arrays={"lexical": sp.csr_array(m)})
    entities = replace(make_features([1, 1], 2), arrays={"lexical": sp.csr_array(e)})
    scale = matcher.units["lexical"].s.detach().exp()
    want = torch.tensor([[0.8, 0.36], [0.0, 0.6]]) * scale
    torch.testing.assert_close(matcher(mentions, entities).total, want, rtol=1e-5, atol=1e-5)


def test_the_frozen_cosine_joins_the_text_units_score():
    plain, both = make_matcher(), make_matcher(frozen_scale=7.0)
    with torch.no_grad():
        both.load_state_dict(plain.state_dict() | {"units.text.f": torch.tensor(2.0)})
    mentions, entities = make_features([3, 7, 1], 1), make_features([2, 9], 2)
    old_m, old_e = make_features([1] * 3, 8).text_global, make_features([1] * 2, 9).text_global
    want = plain(mentions, entities)
    got = both(replace(mentions, text_frozen=old_m), replace(entities, text_frozen=old_e))
    m, e = old_m.double().numpy(), old_e.double().numpy()
    cosine = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in e] for a in m])
    more = (got.units["text"] - want.units["text"]).detach().numpy()
    np.testing.assert_allclose(more, np.exp(2.0) * cosine, rtol=1e-4, atol=1e-4)
    for unit in ("vision", "cross"):
        torch.testing.assert_close(got.units[unit], want.units[unit])
    with pytest.raises(ValueError, match="text_frozen"):
        both(mentions, entities)


def test_the_share_of_the_name_joins_the_lexical_score():
    matcher = make_matcher(units=("lexical",), contained_scale=3.0)
    ngrams = sp.csr_array(np.array([[0.6, 0.8]], np.float32))
    mention = sp.csr_array(np.array([[1.0, 0.0, 1.0]], np.float32))
    entity = sp.csr_array(np.array([[0.7, 0.3, 0.0], [0.5, 0.0, 0.5]], np.float32))
    x = replace(make_features([1], 1), arrays={"lexical": ngrams, "words": mention})
    names = {"lexical": ngrams[[0, 0]], "words": entity}
    y = replace(make_features([1, 1], 2), arrays=names)
    unit = matcher.units["lexical"]
    s, c = float(unit.s.detach().exp()), float(unit.c.detach().exp())
    got = matcher(x, y).total
    torch.testing.assert_close(got, torch.tensor([[s + 0.7 * c, s + c]]))
    got.sum().backward()
    assert float(unit.c.grad) == pytest.approx(1.7 * c)
    with pytest.raises(ValueError, match="no sparse array 'words'"):
        matcher(replace(x, arrays={"lexical": ngrams}), y)


def test_the_frozen_scale_starts_where_it_is_told_and_learns():
    matcher = Matcher(config(("text",), frozen_scale=7.0))
    f = matcher.units["text"].f
    assert float(f.detach().exp()) == pytest.approx(7.0)
    x = make_features([3, 4], 1)
    x = replace(x, text_frozen=x.text_global)
    matcher(x, x).total.sin().sum().backward()
    assert f.grad.abs() > 0


def test_units_that_do_not_exist_and_features_that_are_missing_are_named():
    with pytest.raises(ValueError, match="expected one of text, vision, cross, lexical"):
        make_matcher(units=("text", "smell"))
    with pytest.raises(ValueError, match="choose one or more of text"):
        make_matcher(units=())
    blind = replace(make_features([2], 1), image_global=None, image_local=None)
    with pytest.raises(ValueError, match=r"units: \[text\]"):
        make_matcher()(blind, blind)
    with pytest.raises(ValueError, match="no sparse array 'lexical'"):
        make_matcher(units=("lexical",))(blind, blind)


def test_the_first_scores_of_unit_texts_stay_below_the_logit_scale():
    matcher = Matcher(config(("text",), d_t=512, d_local=512, logit_scale=20))
    t = torch.randn(8, 512)
    normed = matcher.ln_t(t)
    assert float((normed @ normed.T).detach().max()) == pytest.approx(20, rel=1e-3)
