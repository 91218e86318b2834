"""A re-ranking against plain formulas; where it starts, what it learns and what it leaves alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cache.errors import MelovError
from stages.ranking.best import BestScores
from stages.ranking.top import Candidate
from stages.rerank import reranking as module
from stages.rerank.alignment import COLUMNS
from stages.rerank.fit import (
    LEAST_TRAIN,
    LEAST_VALID,
    STEPS,
    Examples,
    fit,
    mean_reciprocal_rank,
    places,
)
from stages.rerank.lists import Lists
from stages.rerank.reranker import Reranker, inputs, width
from stages.rerank.reranking import RERANK, Reranking

TERMS = ("text", "ngrams")


def lists_of(m=6, k=5, seed=0, missing=True):
    """Best first; the last lists are shorter."""
    random = torch.Generator().manual_seed(seed)
    terms = torch.randn(m, k, len(TERMS), generator=random)
    names = torch.rand(m, k, len(COLUMNS), generator=random)
    scores = terms.sum(2).sort(1, descending=True).values
    if missing:
        scores[-2:, k - 2 :] = -torch.inf
        terms[-2:, k - 2 :] = 0
        names[-2:, k - 2 :] = 0
    return Lists(scores, terms, names)


def drawn(seed=0):
    """A re-ranker whose weights are no start."""
    torch.manual_seed(seed)
    reranker = Reranker(len(TERMS))
    reranker.standardise(lists_of(40))
    with torch.no_grad():
        for p in reranker.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return reranker.eval()


def test_it_starts_with_the_order_as_it_is():
    lists = lists_of()
    reranker = Reranker(len(TERMS)).eval()
    reranker.standardise(lists)
    with torch.inference_mode():
        assert reranker(lists).equal(lists.scores)


@torch.inference_mode()
def test_the_new_score_is_the_formula_s():
    lists, reranker = lists_of(), drawn()
    found = reranker(lists)
    state = {name: w.double() for name, w in reranker.state_dict().items()}
    for i in range(len(lists)):
        there = torch.isfinite(lists.scores[i])
        s, u, n = (x[i][there].double() for x in (lists.scores, lists.terms, lists.names))
        p = s.exp() / s.exp().sum()
        for c in range(len(s)):
            x = torch.cat([(s[c] - s[0])[None], p[c][None], u[c], u[c] - u.max(0).values, n[c]])
            x = (x - state["mean"]) * state["scale"]
            added = 0
            for at in range(len(reranker.members)):
                h = x
                for layer in (0, 3):
                    w, b = (state[f"members.{at}.{layer}.{part}"] for part in ("weight", "bias"))
                    h = (w @ h + b).clamp(min=0)
                w, b = (state[f"members.{at}.6.{part}"] for part in ("weight", "bias"))
                added += (w @ h + b)[0] / len(reranker.members)
            assert float(found[i, c]) == pytest.approx(float(s[c] + added), abs=1e-4)
        assert (found[i][~there] == -torch.inf).all()


@torch.inference_mode()
def test_a_list_does_not_depend_on_the_others_nor_on_what_it_lacks():
    lists, reranker = lists_of(), drawn()
    whole = reranker(lists)
    for i in range(len(lists)):
        alone = reranker(lists.take(torch.tensor([i])))[0]
        torch.testing.assert_close(alone, whole[i], rtol=1e-5, atol=1e-6)
    short = Lists(lists.scores[-1:, :3], lists.terms[-1:, :3], lists.names[-1:, :3])
    torch.testing.assert_close(reranker(short)[0], whole[-1, :3], rtol=1e-5, atol=1e-6)


def test_inputs_are_standardised_and_what_never_varies_counts_for_nothing():
    lists = lists_of(50)
    lists.names[..., 3] = 0.5
    reranker = Reranker(len(TERMS))
    reranker.standardise(lists)
    x = (inputs(lists) - reranker.mean) * reranker.scale
    x = x[lists.there]
    constant = width(len(TERMS)) - len(COLUMNS) + 3
    varies = [i for i in range(x.shape[1]) if i != constant and x[:, i].abs().max() > 0]
    assert x[:, varies].mean(0).abs().max() < 1e-4
    assert (x[:, varies].std(0, correction=0) - 1).abs().max() < 1e-4
    lists.names[..., 3] = 77
    again = (inputs(lists) - reranker.mean) * reranker.scale
    assert (again[..., constant] == 0).all()


def planted(m, seed, column=8):
    """The gold candidate is the one whose names say so, whatever the scores."""
    lists = lists_of(m, 6, seed, missing=False)
    gold = torch.from_numpy(np.random.default_rng(seed).integers(0, 6, m))
    lists.names[..., column] = 0
    lists.names[torch.arange(m), gold, column] = 1
    return Examples(lists, gold)


def test_it_learns_what_the_names_say():
    fitted = fit(planted(1000, 0), planted(100, 1), 0)
    assert fitted.mrr[0] < 0.6 < 0.98 < max(fitted.mrr)
    assert mean_reciprocal_rank(fitted.reranker, planted(100, 2)) > 0.98
    assert len(fitted.mrr) == 1 + STEPS // 8


def test_the_same_seed_gives_the_same_weights_and_leaves_the_others_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, other = (fit(planted(200, 0), planted(50, 1), 3).reranker.state_dict() for _ in range(2))
    assert torch.get_rng_state().equal(before)
    assert all(one[name].equal(other[name]) for name in one)
    different = fit(planted(200, 0), planted(50, 1), 4).reranker.state_dict()
    assert not all(one[name].equal(different[name]) for name in one)


def test_the_start_is_kept_where_nothing_is_learned():
    """On validation the best entity is right always, and in training the last one."""
    train, valid = (lists_of(200, 5, seed, missing=False) for seed in (0, 1))
    last, first = torch.full((200,), 4), torch.zeros(200, dtype=torch.int64)
    fitted = fit(Examples(train, last), Examples(valid, first), 0)
    assert fitted.best_epoch == 0
    with torch.inference_mode():
        assert fitted.reranker(valid).equal(valid.scores)


@pytest.mark.parametrize(
    ("train", "valid"), [(0, 0), (LEAST_TRAIN - 1, 99), (150, LEAST_VALID - 1)]
)
def test_too_few_examples_leave_the_order_as_it_is(train, valid):
    def of(examples, n):
        gold = examples.gold.clone()
        gold[n:] = -1
        return Examples(examples.lists, gold)

    fitted = fit(of(planted(200, 0), train), of(planted(200, 1), valid), 0)
    assert fitted.mrr == [fitted.mrr[0]]
    lists = planted(5, 2).lists
    with torch.inference_mode():
        assert fitted.reranker(lists).equal(lists.scores)


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_places_are_ranks_with_half_of_those_equal(rows):
    scores = torch.tensor(rows, dtype=torch.float32)
    for gold in range(4):
        found = places(scores, torch.full((len(rows),), gold))
        want = [
            1 + sum(s > row[gold] for s in row) + (sum(s == row[gold] for s in row) - 1) / 2
            for row in rows
        ]
        assert found.tolist() == want


NAMES = [["Ada Weber"], ["Ada", "Ada Bo"], ["Weber"], ["Bo Weber"], ["Ada of Weber"], ["Karl"]]
SAID = [("Ada", "Ada met Bo Weber."), ("Weber", ""), ("Bo", "Bo is here.")]


def best_of(k=5, seed=0):
    random = np.random.default_rng(seed)
    m = len(SAID)
    terms = random.normal(size=(m, k, 2)).astype("f4")
    scores = -np.sort(-terms.sum(2).astype("f8"), 1)
    entities = np.array([random.permutation(len(NAMES))[:k] for _ in range(m)])
    scores[1, 3:], entities[1, 3:], terms[1, 3:] = -np.inf, -1, 0
    return BestScores(scores, entities, terms, TERMS)


def as_candidates(best):
    return [
        [
            Candidate(int(e), float(s), {"text": 1.0}, dict(zip(TERMS, map(float, t), strict=True)))
            for e, s, t in zip(*rows, strict=True)
            if e >= 0
        ]
        for rows in zip(best.entities, best.scores, best.terms, strict=True)
    ]


def test_ranking_and_linking_give_one_order():
    best, reranking = best_of(), Reranking(drawn(), TERMS)
    new = reranking.best(best, SAID, NAMES)
    assert (new.entities != best.entities).any()
    found = reranking.candidates(as_candidates(best), SAID, NAMES)
    for i, own in enumerate(found):
        n = len(own)
        assert [c.entity for c in own] == new.entities[i, :n].tolist()
        assert [c.score for c in own] == pytest.approx(new.scores[i, :n].tolist(), abs=1e-5)
        assert (new.entities[i, n:] == -1).all()
        old = {int(e): s for e, s in zip(best.entities[i], best.scores[i], strict=True)}
        for c in own:
            assert c.units[RERANK] == pytest.approx(c.score - old[c.entity], abs=1e-5)
    for i in range(len(SAID)):
        kept = {int(e): t.tolist() for e, t in zip(best.entities[i], best.terms[i], strict=True)}
        for e, t in zip(new.entities[i], new.terms[i], strict=True):
            assert t.tolist() == kept[int(e)]
        assert (np.diff(new.scores[i][new.entities[i] >= 0]) <= 0).all()


def test_who_stands_behind_keeps_the_order_and_stays_there(monkeypatch):
    best, reranking = best_of(), Reranking(drawn(), TERMS)
    monkeypatch.setattr(module, "CANDIDATES", 2)
    before = as_candidates(best)
    for old, new in zip(before, reranking.candidates(before, SAID, NAMES), strict=True):
        assert {c.entity for c in new[:2]} == {c.entity for c in old[:2]}
        assert [c.entity for c in new[2:]] == [c.entity for c in old[2:]]
        assert (np.diff([c.score for c in new]) <= 0).all()


def test_ranks_are_of_the_new_order_and_as_before_beyond_it():
    best, reranking = best_of(), Reranking(drawn(), TERMS)
    new = reranking.best(best, SAID, NAMES)
    before = np.array([7.0, 8.0, 9.5])
    for gold in range(len(NAMES)):
        found = reranking.ranks(new, np.full(len(SAID), gold), before)
        for i in range(len(SAID)):
            at = np.flatnonzero(new.entities[i] == gold)
            assert found[i] == (1 + at[0] if len(at) else before[i])


def test_scores_of_other_terms_are_refused():
    best, reranking = best_of(), Reranking(drawn(), ("text", "vision"))
    with pytest.raises(MelovError, match="reads the terms text, vision"):
        reranking.best(best, SAID, NAMES)
    with pytest.raises(MelovError, match="train the run again"):
        reranking.candidates(as_candidates(best), SAID, NAMES)


def test_what_is_not_finite_is_told_of():
    reranker = drawn()
    with torch.no_grad():
        reranker.scale.fill_(3e38)
    with pytest.raises(MelovError, match="not finite"):
        Reranking(reranker, TERMS).best(best_of(), SAID, NAMES)


def test_of_no_mention_there_is_nothing_to_say():
    assert Reranking(drawn(), TERMS).candidates([], [], NAMES) == []


def test_weights_come_back():
    reranking = Reranking(drawn(), TERMS)
    again = Reranking.of_state(TERMS, reranking.state())
    assert np.array_equal(
        again.best(best_of(), SAID, NAMES).scores, reranking.best(best_of(), SAID, NAMES).scores
    )
    with pytest.raises(RuntimeError):
        Reranking.of_state(("text",), reranking.state())
