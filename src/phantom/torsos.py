"""Drawn torsos as arrays: gray levels with the class of each pixel, another torso for each number."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from src.phantom.draw_shape import draw_shape
from src.phantom.outlines import Polygon, draw_outlines
from src.phantom.scene import add_objects, through_camera
from src.phantom.shape import CLASSES, Field, Shape
from src.phantom.skin import draw_warmth

Levels = NDArray[np.uint8]


def draw_torso(seed: int) -> tuple[Levels, NDArray[np.uint8]]:
    """Gray levels and classes (`shape.CLASSES`) of one torso, both uint8 [120, 160]; one seed gives one torso."""
    rng = np.random.default_rng([seed])
    shape = draw_shape(rng)
    warmth = draw_warmth(rng, shape)
    add_objects(rng, warmth, shape)
    return through_camera(rng, warmth), shape.labels


def draw_torsos(seeds: Iterable[int]) -> tuple[Levels, NDArray[np.uint8]]:
    """Gray levels and classes of many torsos, both uint8 [N, 120, 160]."""
    drawn = [draw_torso(seed) for seed in seeds]
    return np.stack([levels for levels, _ in drawn]), np.stack([labels for _, labels in drawn])


def draw_whole_torso(rng: np.random.Generator) -> tuple[Shape, Field, dict[str, Polygon]]:
    """A torso of which every region is to be seen, its warmth, and the polygon of each region.

    Torsos are drawn until one is whole: of the most varied about two.
    """
    while True:
        shape = draw_shape(rng)
        warmth = draw_warmth(rng, shape)
        polygons = draw_outlines(shape)
        if len(polygons) == len(CLASSES):
            return shape, warmth, polygons
