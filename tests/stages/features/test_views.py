from types import SimpleNamespace

import numpy as np
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.features.cached import CachedFeatures
from stages.features.views import distinct_views


def grouped(keys):
    """The entities of each distinct key, by a plain loop."""
    found = {}
    for entity, key in enumerate(keys):
        found.setdefault(key, []).append(entity)
    return found


def assert_views_are(views, keys):
    groups = grouped(keys)
    assert len(views) == len(groups)
    for view, (row, count) in enumerate(zip(views.rows, views.counts, strict=True)):
        members = np.flatnonzero(views.of_entity == view).tolist()
        assert members == groups[keys[row]]
        assert row == members[0]
        assert count == len(members)
    texts = [keys[row][0] for row in views.rows]
    assert texts == sorted(texts)


entity = st.tuples(st.integers(0, 3), st.integers(-1, 2), st.integers(0, 2))


@settings(deadline=None, max_examples=60)
@given(st.lists(entity, min_size=1, max_size=12), st.booleans(), st.booleans())
def test_views_are_the_groups_of_equal_texts_pictures_and_names(keys, images, lexical):
    texts, pictures, names = (np.array(column) for column in zip(*keys, strict=True))
    words = sp.csr_array(np.array([[0, 0.6, 0.8], [0, 0.8, 0.6], [0, 0, 0]], np.float32))
    cached = SimpleNamespace(
        text_rows={"entities": texts},
        image_rows={"entities": pictures},
        uses_images=images,
        arrays={"lexical": {"entities": words[names]}} if lexical else {},
        further=[],
    )
    want = [(t, p * images, n * lexical) for t, p, n in keys]
    assert_views_are(distinct_views(cached), want)


def test_the_views_of_a_store_are_its_distinct_entities(opened):
    reads = ("tokens", "pictures", "patches", "lexical", "words")
    cached = CachedFeatures(opened.store, reads, torch.device("cpu"))
    for group in (cached.text_rows, cached.image_rows):
        group["entities"][5:8] = group["entities"][3]
    cached.image_rows["entities"][7] = cached.image_rows["entities"][0]
    names = np.arange(28)
    names[5:8] = 3
    for groups in cached.arrays.values():
        groups["entities"] = groups["entities"][names]
    keys = zip(cached.text_rows["entities"], cached.image_rows["entities"], names, strict=True)
    assert_views_are(distinct_views(cached), list(keys))


def test_names_that_share_their_ngrams_but_not_their_words_are_apart():
    one = sp.csr_array(np.ones((2, 1), np.float32))
    cached = SimpleNamespace(
        text_rows={"entities": np.array([0, 0])},
        image_rows={},
        uses_images=False,
        arrays={
            "lexical": {"entities": one},
            "words": {"entities": sp.csr_array(np.eye(2, dtype=np.float32))},
        },
        further=[],
    )
    assert len(distinct_views(cached)) == 2


def test_texts_that_one_encoder_takes_for_the_same_and_a_further_one_does_not_are_apart():
    cached = SimpleNamespace(
        text_rows={"entities": np.array([3, 3, 3, 4])}, image_rows={}, uses_images=False, arrays={},
        further=[SimpleNamespace(rows={"entities": np.array([0, 1, 0, 2])})],
    )  # fmt: skip
    assert_views_are(distinct_views(cached), [(3, 0), (3, 1), (3, 0), (4, 2)])
