from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from stages.config import TrainConfig
from stages.features.features import Features, MentionInput
from stages.heads.baselines.bert import Bert
from stages.heads.baselines.blink import Blink
from stages.heads.baselines.clip import Clip
from stages.heads.baselines.dzmned import Dzmned
from stages.heads.baselines.ghmfc import Ghmfc
from stages.heads.baselines.jmel import Jmel
from stages.heads.baselines.tfidf import Tfidf
from stages.heads.baselines.velml import Velml
from stages.heads.baselines.vilt import Vilt
from stages.heads.baselines.zero_shot import ZeroShot
from stages.heads.losses import contrastive_loss
from stages.heads.model import Melov
from stages.heads.settings import HeadsConfig
from stages.heads.variants import VARIANTS
from tests.support.baseline_formulas import Formulas

N, N_P, TERMS = 6, 4, 5000
CLASSES = {
    "tfidf": Tfidf,
    "clip": Clip,
    "bert": Bert,
    "blink": Blink,
    "dzmned": Dzmned,
    "jmel": Jmel,
    "velml": Velml,
    "ghmfc": Ghmfc,
    "vilt": Vilt,
    "zero-shot": ZeroShot,
}
BASELINES = {name: entry for name, entry in VARIANTS.items() if not entry.has_units}
TRAINED = [name for name, entry in BASELINES.items() if entry.trained]


def features(seed, missing=(), n=N, d_image=10) -> Features:
    rng = torch.Generator().manual_seed(seed)
    mask = torch.arange(5) < torch.randint(1, 6, (n, 1), generator=rng)
    has = torch.ones(n, dtype=torch.bool)
    has[list(missing)] = False
    # Few terms, some of them past the last bucket, and a name without any.
    names = sp.random_array((n, TERMS), density=0.01, rng=np.random.default_rng(seed)).tolil()
    names[n - 1] = 0
    names = sp.csr_array(names, dtype=np.float32)
    norm = np.maximum(sp.linalg.norm(names, axis=1), 1e-9)
    return Features(
        text_global=torch.randn(n, 10, generator=rng),
        text_local=torch.randn(n, 5, 8, generator=rng) * mask[..., None],
        text_mask=mask,
        has_image=has,
        image_global=torch.randn(n, d_image, generator=rng) * has[:, None],
        image_local=torch.randn(n, N_P, 9, generator=rng) * has[:, None, None],
        arrays={
            "lexical": sp.csr_array(sp.diags_array(1 / norm) @ names, dtype=np.float32),
            "words": sp.random_array(
                (n, 30),
                density=0.2,
                format="csr",
                dtype=np.float32,
                rng=np.random.default_rng(seed + 1),
            ),
        },
    )


def make(variant, **more):
    sizes = {"d_t": 10, "d_local": 8, "d_image": 10, "d_patch": 9, "n_p": N_P}
    more = {"joint_space": True} | more
    config = HeadsConfig(variant=variant, **sizes, d_v=6, d_h=5, d_z=3, **more)
    torch.manual_seed(0)
    model = config.entry.build(config).eval()
    with torch.no_grad():
        for p in model.parameters():  # zeros and identities would hide what stands behind them
            p.add_(0.2 * torch.randn_like(p))
    return model


def scores(model, mentions, entities):
    side, _ = model.mentions(MentionInput(mentions))
    return model.matcher.pairs(side, model.entities(entities))


def rows(x, picked) -> Features:
    tensors = {n: v[picked] for n, v in vars(x).items() if isinstance(v, torch.Tensor)}
    return replace(x, **tensors, arrays={n: a[picked] for n, a in x.arrays.items()})


def test_every_entry_builds_its_own_class():
    assert CLASSES.keys() == BASELINES.keys()
    for name, made in CLASSES.items():
        assert type(make(name)) is made
    for name in VARIANTS.keys() - BASELINES:
        config = HeadsConfig(variant=name, units=("text",), d_t=10, d_local=8, joint_space=False)
        assert type(config.entry.build(config)) is Melov


@pytest.mark.parametrize("adapter", ["none", "mlp"])
@pytest.mark.parametrize("variant", BASELINES)
def test_scores_are_those_of_the_formulas(variant, adapter):
    model = make(variant, adapter=adapter)
    mentions, entities = features(1, missing=[2, 5]), features(2, missing=[0], n=4)
    with torch.no_grad():
        found = scores(model, mentions, entities)
    want = Formulas(model).scores(mentions, entities)
    assert found.total.shape == (N, 4)
    np.testing.assert_allclose(found.total.numpy(), want, rtol=1e-3, atol=1e-4)


def test_clip_without_a_joint_space_compares_like_with_like():
    model = make("clip", joint_space=False)
    mentions, entities = features(1, [2], d_image=7), features(2, [0], d_image=7)
    found = scores(model, mentions, entities)
    want = Formulas(model).scores(mentions, entities)
    np.testing.assert_allclose(found.total.numpy(), want, rtol=1e-4, atol=1e-6)
    assert found.units.keys() == {"text", "vision"}


@pytest.mark.parametrize("adapter", ["none", "mlp"])
@pytest.mark.parametrize("variant", TRAINED)
def test_gradients_reach_every_parameter(variant, adapter):
    model = make(variant, adapter=adapter).train()
    found = scores(model, features(1, missing=[2]), features(2, missing=[0]))
    contrastive_loss(found, torch.arange(N)).backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert dead == []


@pytest.mark.parametrize("variant", BASELINES)
def test_a_pairs_score_does_not_depend_on_padding_or_company(variant):
    model = make(variant)
    mentions, entities = features(1, missing=[2, 5]), features(2, missing=[0])
    padding = torch.full((N, 3, 8), 7.0), torch.zeros(N, 3, dtype=torch.bool)
    padded = replace(
        mentions,
        text_local=torch.cat([mentions.text_local, padding[0]], 1),
        text_mask=torch.cat([mentions.text_mask, padding[1]], 1),
    )
    with torch.no_grad():
        whole = scores(model, mentions, entities).total
        same = scores(model, padded, entities).total
        torch.testing.assert_close(same, whole, rtol=1e-4, atol=1e-5)
        for some, others in (([0], [1, 4]), ([3, 1], [0]), ([5, 2, 4], [5, 3, 0])):
            part = scores(model, rows(mentions, some), rows(entities, others)).total
            torch.testing.assert_close(part, whole[some][:, others], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", [n for n, b in BASELINES.items() if "pictures" in b.reads])
def test_where_there_is_no_picture_its_cached_numbers_take_no_part(variant):
    model = make(variant)
    mentions, entities = features(1, missing=[2, 5]), features(2, missing=[0])
    other = replace(
        mentions,
        image_global=mentions.image_global + 9.0 * ~mentions.has_image[:, None],
        image_local=mentions.image_local + 9.0 * ~mentions.has_image[:, None, None],
    )
    with torch.no_grad():
        found = scores(model, mentions, entities).total
        torch.testing.assert_close(scores(model, other, entities).total, found)
        moved = replace(mentions, image_global=mentions.image_global.flip(1))
        moved = replace(moved, image_local=mentions.image_local.flip(1, 2))
        changed = (scores(model, moved, entities).total - found).abs().amax(1) > 1e-5
    assert changed.tolist() == mentions.has_image.tolist()  # where there is one, it does


@pytest.mark.parametrize("variant", [n for n, b in BASELINES.items() if "pictures" not in b.reads])
def test_a_baseline_of_text_alone_reads_no_picture(variant):
    x = replace(features(1), image_global=None, image_local=None)
    assert scores(make(variant), x, x).total.shape == (N, N)


@pytest.mark.parametrize("variant", [n for n, b in BASELINES.items() if "tokens" not in b.reads])
def test_what_is_said_to_read_no_tokens_reads_none(variant):
    model, x = make(variant), features(1, missing=[1])
    bare = replace(
        x,
        text_local=x.text_local[:, :0],
        text_mask=x.text_mask[:, :0],
        image_local=x.image_local[:, :0],
    )
    with torch.no_grad():
        assert torch.equal(scores(model, bare, bare).total, scores(model, x, x).total)


@pytest.mark.parametrize("variant", ["bert", "blink"])
def test_a_text_bi_encoder_starts_from_the_encoders_own_similarity(variant):
    torch.manual_seed(0)
    config = HeadsConfig(variant=variant, d_t=10, d_local=8, joint_space=False, logit_scale=20.0)
    x = features(1)
    with torch.no_grad():
        found = scores(config.entry.build(config), x, x).total
    t = x.text_global - x.text_global.mean(1, keepdim=True)
    want = 20 * torch.nn.functional.normalize(t) @ torch.nn.functional.normalize(t).T
    torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-2)


def test_a_baseline_has_no_use_for_units_and_blink_at_least_one_hard_negative():
    config = TrainConfig(preset="paper", units=("text", "cross"), epochs=3)
    assert config.settled("melov") == config
    assert config.settled("ghmfc") == TrainConfig(preset="paper", epochs=3)
    assert config.settled("blink").hard_negatives == 1
    more = config.model_copy(update={"hard_negatives": 4})
    assert more.settled("blink").hard_negatives == 4
    assert more.settled("bert").hard_negatives == 4
