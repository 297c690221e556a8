"""Drawn torsos: repeatable, each region where anatomy has it, and nothing labelled that is not to be seen."""

import numpy as np
import pytest
from numpy.typing import NDArray

from src.phantom.draw_shape import draw_shape
from src.phantom.shape import BACKGROUND, CLASSES, HEIGHT, WIDTH
from src.phantom.torsos import draw_torso, draw_torsos

Drawn = tuple[NDArray[np.uint8], NDArray[np.uint8]]
COUNT = 150


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return draw_torsos(range(COUNT))


def middles(labels: NDArray[np.uint8], name: str) -> NDArray[np.float64]:
    """The mean (row, column) of a region in each frame that shows 30 pixels of it or more, else nan."""
    found = np.full((len(labels), 2), np.nan)
    for place, frame in enumerate(labels):
        pixels = np.argwhere(frame == CLASSES.index(name))
        if len(pixels) >= 30:
            found[place] = pixels.mean(0)
    return found


def test_one_number_gives_one_torso_and_another_one_another(drawn: Drawn) -> None:
    levels, labels = draw_torso(3)
    assert levels.shape == labels.shape == (HEIGHT, WIDTH)
    assert levels.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(levels, drawn[0][3])
    np.testing.assert_array_equal(labels, drawn[1][3])
    assert len(np.unique(drawn[0].reshape(COUNT, -1), axis=0)) == COUNT


def test_left_is_left_in_the_picture_and_regions_lie_as_in_a_body(drawn: Drawn) -> None:
    at = {name: middles(drawn[1], name) for name in CLASSES}
    for part in ("breast", "nipple", "armpit"):
        both = np.isfinite(at[f"left_{part}"] + at[f"right_{part}"]).all(1)
        assert both.mean() > 0.5  # a nipple is hidden in about a fifth
        assert (at[f"left_{part}"][both, 1] < at[f"right_{part}"][both, 1]).all()
    for side in ("left", "right"):
        breast, armpit, nipple = (at[f"{side}_{part}"] for part in ("breast", "armpit", "nipple"))
        both = np.isfinite(breast + armpit).all(1)
        assert (armpit[both, 0] < breast[both, 0]).all()
        both = np.isfinite(breast + nipple).all(1)
        assert (nipple[both, 0] > breast[both, 0] - 5).mean() > 0.95
    both = np.isfinite(at["neck"] + at["left_breast"]).all(1)
    assert (at["neck"][both, 0] < at["left_breast"][both, 0]).all()


def test_they_differ_as_patients_and_cameras_do(drawn: Drawn) -> None:
    levels, labels = drawn
    shares = [(labels == CLASSES.index(name)).mean((1, 2)) for name in ("left_breast", "right_breast")]
    assert np.ptp(np.log(shares[0][shares[0] > 0.01])) > np.log(3)
    one_only = (np.min(shares, axis=0) == 0) & (np.max(shares, axis=0) > 0.04)
    assert 0 < one_only.mean() < 0.2  # after surgery
    hidden = [(labels == CLASSES.index(f"{side}_nipple")).sum((1, 2)) == 0 for side in ("left", "right")]
    assert 0.05 < np.mean(hidden) < 0.4
    assert np.ptp(levels.mean((1, 2))) > 60
    assert ((labels == BACKGROUND).mean((1, 2)) > 0.2).all()


def test_no_region_lies_in_the_room(drawn: Drawn) -> None:
    for number in range(20):
        shape = draw_shape(np.random.default_rng(number))
        assert not (shape.labels != BACKGROUND)[~(shape.body | shape.head)].any()
