"""Points with neighbours, and the similarity matrix by the dense formula in plain loops."""

import numpy as np

from stages.graph.similarity import affinities, make_metric

METRICS = ("kernel", "euclidean", "cosine", "dot")
METRIC = {name: make_metric(name, 2.0, 40.0) for name in METRICS}


def points(name, n, seed, d=5):
    """Small integers, so that ties and duplicates abound; real numbers for the cosine, since
    cosines of integers tie in theory but not in float64."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) if name == "cosine" else rng.integers(-2, 3, (n, d))
    return x.astype(np.float32)


def plain_rows(q, k, metric, floor, limit, pictures=None, same=False):
    """One query after the other, one key after the other: dense (m, n), without a diagonal."""
    dense = np.zeros((len(q), len(k)), np.float32)
    for i in range(len(q)):
        found = []
        for j in range(len(k)):
            picture = None if pictures is None else (pictures[0][i], pictures[1][j])
            if (same and i == j) or (picture and picture[0] == picture[1] >= 0):
                continue
            affinity = affinities(metric, q[[i]], k[[j]])
            weight = np.float32(metric.weigh(affinity)[0])
            if weight > np.float32(floor):
                found.append((-affinity[0], j, weight))
        for _, j, weight in sorted(found)[:limit]:
            dense[i, j] = weight
    return dense


def plain_mutual(x, metric, floor, limit, pictures=None):
    pictures = None if pictures is None else (pictures, pictures)
    directed = plain_rows(x, x, metric, floor, limit, pictures, same=True)
    kept = np.where((directed > 0) & (directed.T > 0), directed, 0)
    np.fill_diagonal(kept, 1)
    return kept


def assert_same_bits(a, b):
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part))
        assert getattr(a, part).dtype == getattr(b, part).dtype


def clustered(n, d=32, seed=0, clusters=None):
    """Overlapping clusters of about twenty points each, of differing width."""
    rng = np.random.default_rng(seed)
    clusters = clusters or max(1, n // 20)
    centres, width = rng.standard_normal((clusters, d)), rng.uniform(0.3, 0.7, clusters)
    own = rng.integers(clusters, size=n)
    return (centres[own] + width[own, None] * rng.standard_normal((n, d))).astype(np.float32)


def edges(graph):
    found = graph.tocoo()
    return dict(zip(zip(found.row, found.col, strict=True), found.data, strict=True))
