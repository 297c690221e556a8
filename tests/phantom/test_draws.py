"""Draws that keep near the middle: at full variety any other generator's, at none always the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.phantom.draws import Draws

POSES, SHARES = ["raised", "hips", "down"], [0.86, 0.06, 0.08]


def drawn(rng: np.random.Generator) -> list[float]:
    """One of each kind of draw that has a middle, several times over."""
    each = [[rng.normal(3, 2), rng.uniform(-1, 4), rng.random(), rng.beta(1.6, 1.6)] for _ in range(50)]
    return [float(number) for row in each for number in row]


def test_full_variety_is_the_generator_itself_and_none_is_the_middle() -> None:
    np.testing.assert_allclose(drawn(Draws([5, 1], 1.0)), drawn(np.random.default_rng([5, 1])))
    np.testing.assert_allclose(drawn(Draws([5, 2], 0.0)), [3, 1.5, 0.5, 0.5] * 50)


@given(st.floats(0, 1), st.integers(0, 1000))
def test_less_variety_shortens_every_deviation_alike(variety: float, seed: int) -> None:
    middle = np.array([3, 1.5, 0.5, 0.5] * 50)
    near, far = (np.array(drawn(Draws([seed], share))) - middle for share in (variety, 1.0))
    np.testing.assert_allclose(near, variety * far, atol=1e-9)


@pytest.mark.parametrize(("variety", "share"), [(0.0, 1.0), (0.5, 1.0), (1.0, 0.86)])
def test_the_likeliest_becomes_likelier(variety: float, share: float) -> None:
    draws = Draws([7], variety)
    assert np.mean([draws.choice(POSES, p=SHARES) == "raised" for _ in range(1000)]) == pytest.approx(share, abs=0.03)
