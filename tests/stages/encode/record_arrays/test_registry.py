from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from cache.errors import StoreError
from cache.reader import FeatureStore
from stages.config import ExtractConfig, load_params
from stages.datasets.records import Records
from stages.encode.extract import extract
from stages.encode.plan import said_of
from stages.encode.record_arrays.registry import RECORD_ARRAYS, open_record_array
from stages.linking.encoding import open_mention_encoder
from stages.linking.mention import NewMention
from stages.paths import DatasetPaths

GROUPS = ("entities", "mentions/train", "mentions/valid", "mentions/test")


class Lengths:
    """Dense: letters of a name over those of the longest entity name, and letters of a text."""

    name: ClassVar[str] = "lengths"

    def __init__(self, longest: np.ndarray) -> None:
        self.longest = longest

    @classmethod
    def fit(cls, names: Sequence[str], config: ExtractConfig) -> "Lengths":
        return cls(np.array([max(map(len, names))], np.int64))

    def of_entities(self, names: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        both = [[len(n) / self.longest[0], len(t)] for n, t in zip(names, texts, strict=True)]
        return np.array(both, np.float32)

    of_mentions = of_entities

    def state(self) -> dict[str, np.ndarray]:
        return {"longest": self.longest}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray], config: ExtractConfig) -> "Lengths":
        return cls(arrays["longest"])

    @staticmethod
    def fingerprint(config: ExtractConfig) -> dict[str, Any]:
        return {"lengths": 1}


def config_of(paths: DatasetPaths) -> ExtractConfig:
    return load_params(paths.root / "params.yaml", "tiny").extract


def test_the_fingerprint_holds_what_the_arrays_depend_on():
    said = [array.fingerprint(ExtractConfig()) for array in RECORD_ARRAYS.values()]
    assert said == [{"lexical_ngrams": [2, 4], "lexical_version": 2}, {"words_version": 2}]
    assert list(RECORD_ARRAYS) == ["lexical", "words"]


def test_a_new_dense_array_is_stored_and_computed_for_new_mentions(
    project: DatasetPaths, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(RECORD_ARRAYS, "lengths", Lengths)
    config = config_of(project)
    extract(project, config)
    store, said = FeatureStore.open(project.store), said_of(Records.load(project.records))
    assert store.fingerprint.fields["lengths"] == 1
    assert store.attributes["record_arrays"]["lengths"] == 2
    fitted = Lengths.fit(said["entities"][0], config)
    for group in GROUPS:
        rows = store[f"lengths/{group}"]
        np.testing.assert_array_equal(rows.slice(0, len(rows)), fitted.of_entities(*said[group]))

    names = ("lengths", "lexical")
    encoder = open_mention_encoder(store, config, project.root, False, names, "hint")
    new = encoder([NewMention("Name 1", "seen", None, "a"), NewMention("Nobody", "", None, "b")])
    assert set(new.arrays) == set(names)
    longest = max(map(len, said["entities"][0]))
    expected = np.array([[6 / longest, 4], [6 / longest, 0]], np.float32)
    np.testing.assert_array_equal(new.arrays["lengths"], expected)
    assert new.arrays["lexical"].shape == (2, store.attributes["record_arrays"]["lexical"])

    monkeypatch.undo()  # a store of fewer arrays is another one
    with pytest.raises(StoreError, match="lengths: stored 1, asked nothing"):
        extract(project, config)


def test_an_array_that_the_store_was_made_without_is_named(project: DatasetPaths):
    config = config_of(project)
    extract(project, config)
    store = FeatureStore.open(project.store)
    with pytest.raises(StoreError, match="holds no record array 'lengths'") as found:
        open_record_array(store, "lengths", config, "the command")
    assert "the command" in str(found.value)
