"""The learnable threshold: eq. 4 forward, its surrogate backward."""

import pytest
import torch

from cache.errors import MelovError
from stages.heads.threshold import Threshold

VALUES = torch.tensor([0.11, 0.3, 0.49, 0.51, 0.7, 1.0])


def test_the_forward_keeps_what_lies_above_tau_to_the_bit():
    threshold = Threshold(0.1, 0.3)
    values = torch.linspace(0.1, 1, 1001)
    assert torch.equal(threshold(values), torch.where(values > threshold.tau, values, 0))


def test_a_value_equal_to_tau_is_dropped():
    threshold = Threshold(0.1, 0.5)
    assert threshold(threshold.tau.detach().reshape(1)).item() == 0


@pytest.mark.parametrize("tau_init", [0.11, 0.3, 0.5, 0.9, 0.999])
def test_tau_starts_at_tau_init(tau_init):
    threshold = Threshold(0.1, tau_init)
    assert threshold.tau.item() == pytest.approx(tau_init, rel=1e-5)


def test_reset_parameters_brings_tau_back():
    threshold = Threshold(0.1, 0.5)
    with torch.no_grad():
        threshold.theta.add_(2)
    assert threshold.tau.item() > 0.8
    threshold.reset_parameters()
    assert threshold.tau.item() == pytest.approx(0.5)


@pytest.mark.parametrize("theta", [-100.0, -3.0, 3.0, 100.0])
def test_tau_never_leaves_floor_to_one(theta):
    threshold = Threshold(0.1, 0.5)
    with torch.no_grad():
        threshold.theta.fill_(theta)
    assert 0.1 <= threshold.tau.item() <= 1


def test_the_gradient_of_tau_is_minus_the_sum_over_survivors():
    threshold = Threshold(0.1, 0.5)
    weights = torch.tensor([1.0, -2.0, 3.0, 0.5, -4.0, 7.0])
    values = VALUES.clone().requires_grad_()
    (weights * threshold(values)).sum().backward()
    tau_of_theta = 0.9 * torch.sigmoid(threshold.theta.detach())
    slope = tau_of_theta * (1 - torch.sigmoid(threshold.theta.detach()))
    assert threshold.theta.grad.item() == pytest.approx(-(0.5 - 4.0 + 7.0) * slope.item(), rel=1e-5)
    assert torch.equal(values.grad, torch.where(VALUES > 0.5, weights, 0))


def test_the_gradients_equal_finite_differences_of_the_surrogate():
    """relu(A - τ) + τ₀ on survivors, τ₀ held where τ is."""
    threshold = Threshold(0.1, 0.5).double()
    values = VALUES.double()

    def loss(theta):
        tau = 0.1 + 0.9 * torch.sigmoid(theta)
        held = 0.1 + 0.9 * torch.sigmoid(threshold.theta.detach())
        return ((torch.relu(values - tau) + held * (values > held)) ** 3).sum()

    (threshold(values) ** 3).sum().backward()
    theta, step = threshold.theta.detach(), 1e-6
    slope = (loss(theta + step) - loss(theta - step)) / (2 * step)
    assert threshold.theta.grad.item() == pytest.approx(slope.item(), rel=1e-6)


def test_a_fixed_threshold_keeps_all_above_the_floor_and_has_no_parameter():
    threshold = Threshold(0.1, 0.5, learnable=False)
    assert torch.equal(threshold(VALUES), VALUES)
    assert not list(threshold.parameters())
    assert threshold(torch.tensor([0.1])).item() == 0


def test_no_survivors_give_zeros_and_no_gradient():
    threshold = Threshold(0.1, 0.99)
    out = threshold(VALUES[:3])
    out.sum().backward()
    assert not out.any()
    assert threshold.theta.grad.item() == 0


@pytest.mark.parametrize("tau_init", [0.05, 0.1, 1.0])
def test_a_start_outside_floor_to_one_names_both(tau_init):
    with pytest.raises(MelovError, match=r"expected above graph.floor \(0.1\), below 1"):
        Threshold(0.1, tau_init)


def test_its_repr_says_where_tau_is():
    assert repr(Threshold(0.1, 0.5)) == "Threshold(floor=0.1, tau=0.5000, learnable)"
    assert repr(Threshold(0.1, 0.5, False)) == "Threshold(floor=0.1, tau=0.1000, fixed)"
