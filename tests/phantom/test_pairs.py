"""Pairs of a torso without and with a tumour: alike in everything but a warm spot on one breast."""

import numpy as np

from src.phantom.pairs import draw_pair


def test_a_pair_differs_by_a_warm_spot_on_the_side_it_names() -> None:
    on_its_side = 0
    for number in range(12):
        pair = draw_pair(number)
        assert pair.levels.shape == (2, 120, 160)
        again = draw_pair(number)
        assert np.array_equal(pair.levels, again.levels)
        warmer = np.clip(pair.levels[1].astype(float) - pair.levels[0], 0, None)
        columns = np.arange(160)
        if warmer.max() >= 6:  # others lie deep, or the camera's range hides them
            middle = (warmer**2).sum(0) @ columns / (warmer**2).sum()
            on_its_side += (middle < 80) == (pair.side == 0)
            assert (warmer > warmer.max() / 2).mean() < 0.05
    assert on_its_side >= 4
