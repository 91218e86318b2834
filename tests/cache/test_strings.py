import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cache.strings import pack_strings, unpack_strings


@given(st.lists(st.text(st.characters(codec=None, exclude_categories=()))))
def test_strings_survive_the_round_trip_lone_surrogates_too(strings: list[str]):
    data, offsets = pack_strings(strings)
    assert data.dtype == np.uint8
    assert offsets.dtype == np.int64
    assert offsets.shape == (len(strings) + 1,)
    assert unpack_strings(data, offsets) == strings
