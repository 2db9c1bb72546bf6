"""Many ranges at once, against one after the other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from greyzone.ranges import ranges


@given(st.lists(st.tuples(st.integers(-5, 10), st.integers(0, 4))))
def test_many_ranges_are_each_range(pairs):
    starts, lengths = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    found = ranges(starts, lengths)
    assert found.dtype == np.int64
    assert found.tolist() == [number for start, length in pairs for number in range(start, start + length)]
