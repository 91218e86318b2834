import numpy as np
import pytest
import torch

from stages.heads.vae import Generated, PatchAttention, Vae, generation_loss
from tests.support.reference import softmax


def test_the_latent_is_the_mean_after_training_and_noisy_in_training():
    vae = Vae(4, 3, 5)
    t = torch.randn(6, 4)
    first = vae.eval()(t)
    torch.testing.assert_close(first.v, vae.w_d(t @ vae.w_mu.weight.T))
    torch.testing.assert_close(first.v, vae(t).v)
    vae.train()
    torch.manual_seed(0)
    noisy = vae(t)
    torch.manual_seed(0)
    epsilon = torch.randn(6, 3)
    want = vae.w_d(noisy.mu + torch.exp(noisy.log_var / 2) * epsilon)
    torch.testing.assert_close(noisy.v, want)


def test_the_loss_equals_a_case_worked_by_hand():
    # ‖(1,2) - (0,0)‖² = 5; KL for μ = (1, 0), log σ² = (0, 0): ½·1 = 0.5
    generated = Generated(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    original = torch.tensor([[1.0, 2.0]])
    loss = generation_loss(original, generated, torch.tensor([True]))
    assert loss.item() == pytest.approx(5.5)
    # log σ² = log 4 in one dimension: ½ (4 - 1 - log 4) more
    wide = Generated(generated.v, generated.mu, torch.tensor([[np.log(4.0), 0.0]]).float())
    loss = generation_loss(original, wide, torch.tensor([True]))
    assert loss.item() == pytest.approx(5.5 + 0.5 * (3 - np.log(4)), rel=1e-6)


def test_mentions_without_a_picture_stay_out_of_the_loss():
    torch.manual_seed(0)
    generated = Generated(torch.randn(3, 5), torch.randn(3, 2), torch.randn(3, 2))
    original = torch.randn(3, 5)
    has = torch.tensor([True, False, True])
    kept = Generated(*(x[has] for x in (generated.v, generated.mu, generated.log_var)))
    want = generation_loss(original[has], kept, torch.tensor([True, True]))
    torch.testing.assert_close(generation_loss(original, generated, has), want)
    none = generation_loss(original, generated, torch.zeros(3, dtype=torch.bool))
    assert none.item() == 0


def test_the_local_loss_is_a_mean_over_patches():
    torch.manual_seed(0)
    v, mu, log_var = torch.randn(2, 4, 5), torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    original = torch.randn(2, 4, 5)
    has = torch.ones(2, dtype=torch.bool)
    each = [
        generation_loss(original[:, p], Generated(v[:, p], mu[:, p], log_var[:, p]), has)
        for p in range(4)
    ]
    torch.testing.assert_close(
        generation_loss(original, Generated(v, mu, log_var), has), torch.stack(each).mean()
    )


def test_the_original_gets_no_gradient_from_the_loss():
    original = torch.randn(2, 3, requires_grad=True)
    vae = Vae(4, 2, 3)
    loss = generation_loss(original, vae(torch.randn(2, 4)), torch.ones(2, dtype=torch.bool))
    loss.backward()
    assert original.grad is None
    assert all(p.grad is not None and p.grad.any() for p in vae.parameters())


def test_patch_attention_equals_the_formula_and_reads_real_tokens_only():
    torch.manual_seed(0)
    attention = PatchAttention(3, 4, 5)
    with torch.no_grad():
        attention.query.normal_()
    tokens = torch.randn(2, 6, 4)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)
    tokens[0, 4:] = 1e6
    found = attention(tokens, mask).detach().numpy()
    query = attention.query.detach().numpy()
    for i, length in enumerate([4, 6]):
        real = tokens[i, :length]
        key = attention.w_key(real).detach().numpy()
        want = softmax(query @ key.T / np.sqrt(5)) @ real.numpy()
        np.testing.assert_allclose(found[i], want, rtol=1e-4, atol=1e-5)
