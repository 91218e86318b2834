import numpy as np
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.features.neighborhood import SharedEdges, limit_neighbors, neighborhood
from stages.heads.gcn import Gcn
from stages.heads.threshold import Threshold

FLOOR = 0.1


def similarities(n, seed, density=0.4) -> np.ndarray:
    """Symmetric, unit diagonal, entries above the floor or 0."""
    rng = np.random.default_rng(seed)
    a = np.triu(rng.uniform(FLOOR, 1, (n, n)) * (rng.random((n, n)) < density), 1)
    return (a + a.T + np.eye(n)).astype(np.float32)


def dense(gcn, a, v, tau, normalization):
    """Eqs. 4 and 5 on the whole matrix."""
    a = np.where(a > tau, a, 0)
    if normalization == "row":
        a = a / a.sum(1, keepdims=True)
    elif normalization == "sym":
        d = a.sum(1)
        a = a / np.sqrt(d[:, None] * d[None, :])
    for index, layer in enumerate(gcn.layers):
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        v = np.einsum("ij,j...->i...", a, v @ weight.T) + bias
        if index + 1 < len(gcn.layers):
            v = np.maximum(v, 0)
    return v


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(2, 12),
    seed=st.integers(0, 99),
    layers=st.integers(1, 3),
    normalization=st.sampled_from(["none", "row", "sym"]),
    tau=st.floats(0.15, 0.9),
    local=st.booleans(),
    data=st.data(),
)
def test_without_a_limit_a_batch_equals_the_dense_formula(
    n, seed, layers, normalization, tau, local, data
):
    """Of mentions that share pictures, or have none."""
    torch.manual_seed(seed)
    a = similarities(n, seed)
    gcn, threshold = Gcn(4, layers, normalization), Threshold(FLOOR, tau)
    pictures = data.draw(st.integers(1, n))
    v = torch.randn(pictures, 3, 4) if local else torch.randn(pictures, 4)
    shown = st.lists(st.integers(-1, pictures - 1), min_size=n, max_size=n)
    of_mention = np.array(data.draw(shown))
    batch = np.random.default_rng(seed).permutation(n)[: max(1, n // 2)]
    graph = limit_neighbors(sp.csr_array(a), 0)
    found = neighborhood(graph, batch, layers, degrees=normalization == "sym")
    first = SharedEdges.of(found.blocks[0].edges, of_mention[found.nodes], len(v))
    got = gcn(v, first, found.blocks, threshold).detach().numpy()
    tau_now = float(threshold.tau.detach())
    has = (of_mention >= 0).reshape(-1, *[1] * (v.dim() - 1))
    of_mentions = v.numpy()[of_mention] * has
    want = dense(gcn, a, of_mentions, tau_now, normalization)[batch]
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)


def test_the_limit_keeps_the_heaviest_neighbours_and_always_the_mention_itself():
    a = np.array(
        [[1.0, 0.9, 0.5, 0.7], [0.9, 1.0, 1.0, 0.0], [0.5, 1.0, 1.0, 0.3], [0.7, 0.0, 0.3, 1.0]],
        dtype=np.float32,
    )
    kept = limit_neighbors(sp.csr_array(a), 1).toarray()
    want = np.array([[1, 0.9, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0.7, 0, 0, 1]])
    np.testing.assert_allclose(kept, want, rtol=1e-6)


def test_the_limit_finds_the_mention_itself_in_the_right_block_of_a_split():
    rows = np.array([[0.9, 0.8, 0.7, 1.0, 0.0], [0.2, 1.0, 0.0, 0.0, 1.0]], dtype=np.float32)
    kept = limit_neighbors(sp.csr_array(rows), 2).toarray()
    want = np.array([[0.9, 0.8, 0.0, 1.0, 0.0], [0.2, 1.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(kept, want, rtol=1e-6)


def test_the_result_of_a_mention_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    graph = limit_neighbors(sp.csr_array(similarities(10, 0)), 3)
    gcn, threshold = Gcn(4, 2, "row"), Threshold(FLOOR, 0.5)
    v = torch.randn(10, 4)

    def result(batch):
        found = neighborhood(graph, np.array(batch), 2)
        first = SharedEdges.of(found.blocks[0].edges, found.nodes, len(v))
        return gcn(v, first, found.blocks, threshold).detach()

    whole = result(range(10))
    for row in range(10):
        torch.testing.assert_close(result([row])[0], whole[row])
    torch.testing.assert_close(result([7, 2]), whole[[7, 2]])


@pytest.mark.parametrize("normalization", ["none", "row", "sym"])
def test_gradients_reach_the_threshold_the_weights_and_the_features(normalization):
    torch.manual_seed(0)
    graph = sp.csr_array(similarities(8, 1, density=0.8))
    gcn, threshold = Gcn(4, 2, normalization), Threshold(FLOOR, 0.3)
    v = torch.randn(8, 4, requires_grad=True)
    found = neighborhood(graph, np.arange(4), 2, degrees=normalization == "sym")
    first = SharedEdges.of(found.blocks[0].edges, found.nodes, len(v))
    gcn(v, first, found.blocks, threshold).square().sum().backward()
    for p in (*gcn.parameters(), *threshold.parameters(), v):
        assert p.grad is not None
        assert p.grad.any()
