import pytest
import torch

from stages.heads.fusion import Fusion

NAMES = ("original", "generated", "aggregated")


def sources(*shape):
    return {name: torch.randn(*shape) for name in NAMES}


def test_the_weights_sum_to_one_and_lie_between_zero_and_one():
    torch.manual_seed(0)
    has = torch.tensor([True, True, False, True])
    for shape in ((4, 6), (4, 3, 6)):
        _, alpha = Fusion(6, NAMES)(sources(*shape), has)
        torch.testing.assert_close(alpha.sum(-1), torch.ones(shape[:-1]))
        assert (alpha >= 0).all()


def test_a_missing_picture_has_weight_zero_and_its_value_changes_nothing():
    torch.manual_seed(0)
    fusion = Fusion(6, NAMES)
    given = sources(2, 6)
    has = torch.tensor([True, False])
    v, alpha = fusion(given, has)
    assert alpha[1, 0].item() == 0
    assert alpha[0, 0].item() > 0
    other = dict(given, original=given["original"] + torch.tensor([[0.0], [1e3]]))
    again, _ = fusion(other, has)
    torch.testing.assert_close(again, v)


def test_the_fused_vector_equals_a_case_worked_by_hand():
    fusion = Fusion(2, NAMES)
    with torch.no_grad():
        for index, name in enumerate(NAMES):  # constant logits, whatever the input
            fusion.ffnn[name][2].weight.zero_()
            fusion.ffnn[name][2].bias.fill_([0.0, 100.0, -100.0][index])
    given = {
        "original": torch.tensor([[3.0, 0.0]]),
        "generated": torch.tensor([[0.0, 3.0]]),
        "aggregated": torch.tensor([[9.0, 9.0]]),
    }
    # sigmoids ½, 1, 0: weights 1/3, 2/3, 0
    v, alpha = fusion(given, torch.tensor([True]))
    torch.testing.assert_close(alpha, torch.tensor([[1 / 3, 2 / 3, 0.0]]))
    torch.testing.assert_close(v, torch.tensor([[1.0, 2.0]]))


def test_sources_without_an_original_are_refused():
    with pytest.raises(ValueError, match="original"):
        Fusion(4, ("generated", "aggregated"))
