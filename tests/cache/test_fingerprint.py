import pytest

from cache.errors import StoreError
from cache.fingerprint import Fingerprint

STORED = Fingerprint({"encoder": {"name": "clip", "revision": "a1"}, "dtype": "float16", "n": 1})


def test_the_digest_does_not_depend_on_the_order_of_keys_nor_on_tuples():
    one = Fingerprint({"a": (1, 2), "b": {"c": 1, "d": None}})
    other = Fingerprint({"b": {"d": None, "c": 1}, "a": [1, 2]})
    assert one.digest == other.digest
    assert one == other
    assert hash(one) == hash(other)
    assert int(one.digest, 16) >= 0


def test_every_difference_is_named_with_both_values():
    asked = Fingerprint({"encoder": {"name": "clip", "revision": "b2"}, "dtype": "float32"})
    assert STORED.differences(asked) == [
        'dtype: stored "float16", asked "float32"',
        'encoder.revision: stored "a1", asked "b2"',
        "n: stored 1, asked nothing",
    ]
    assert asked != STORED
    assert STORED.digest != asked.digest


def test_one_and_true_and_one_point_zero_differ():
    for other in (True, 1.0, "1"):
        assert Fingerprint({"n": 1}).differences(Fingerprint({"n": other}))
        assert Fingerprint({"n": 1}) != Fingerprint({"n": other})


def test_a_mismatch_raises_with_the_fields_and_the_command():
    asked = Fingerprint({**STORED.fields, "dtype": "float32", "n": 2})
    with pytest.raises(StoreError) as caught:
        STORED.require_equal(asked, "features.zarr", "python -m pipeline.extract")
    for part in ("features.zarr", "dtype", "n: stored 1, asked 2", "python -m pipeline.extract"):
        assert part in str(caught.value)
    assert "encoder" not in str(caught.value)
    STORED.require_equal(Fingerprint(STORED.fields), "features.zarr", None)


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(ValueError):
        Fingerprint({"n": float("nan")})
    with pytest.raises(TypeError):
        Fingerprint({"n": object()})
