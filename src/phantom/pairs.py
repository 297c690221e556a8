"""The same drawn torso without and with a tumour: what a network is taught to tell apart.

Whatever else may look like a tumour (veins, blotches, folds, an inflamed breast, dressings, the camera) is in both
pictures of a pair, so that it says nothing of the diagnosis, and what differs is what physics makes of the tumour.
"""

from copy import deepcopy
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from src.phantom.draw_shape import draw_shape
from src.phantom.outlines import SCALE
from src.phantom.scene import add_objects, through_camera
from src.phantom.shape import HEIGHT, WIDTH, Field, Shape
from src.phantom.skin import draw_warmth, noise, soft
from src.phantom.temperatures import NOISE, SPAN, balanced
from src.phantom.tumour import DEPTHS, DIAMETERS, HALF_CHEST, SIDES, Tumour, draw_tumour, warm_spot

SPANS = 0.8 * SPAN, 1.2 * SPAN  # C from warmth 0 to warmth 1: rooms and cameras differ
_TAG = 7  # keeps pairs apart from the torsos of the same number


@dataclass(frozen=True)
class Pair:
    """Gray levels uint8 [2, 120, 160] of a torso without and with a tumour, and which breast has it (0: left)."""

    levels: NDArray[np.uint8]
    side: int


def draw_pair(number: int) -> Pair:
    """One pair for each number; some torsos have more vessels in one place, often where the tumour is."""
    rng = np.random.default_rng([number, _TAG])
    shape = draw_shape(rng)
    while not any(side.has_breast and side.dome.any() for side in shape.sides):
        shape = draw_shape(rng)
    warmth = draw_warmth(rng, shape)
    if rng.random() < 0.5 and all(side.breast.any() for side in shape.sides):
        warmth = balanced(warmth, shape, rng.uniform(-0.45, 0.45) / SPAN)
    depth = DEPTHS[0] + (DEPTHS[-1] - DEPTHS[0]) * rng.beta(1, 3)  # what lies deeper is hardly ever to be seen
    diameter = rng.uniform(DIAMETERS[0], DIAMETERS[-1])
    tumour = draw_tumour(rng, shape, (depth, depth), (diameter, diameter), anywhere=rng.random() < 0.5)
    if rng.random() < 0.3:
        other = draw_tumour(rng, shape, DEPTHS[:2], DIAMETERS[:2], anywhere=True)
        _add_vessels(rng, warmth, tumour if rng.random() < 0.5 else other, shape.camera.half)
    px_per_mm = SCALE * shape.camera.half / (HALF_CHEST * rng.uniform(0.85, 1.15))
    spot = cv2.resize(warm_spot(tumour, px_per_mm), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    warmer = np.asarray(spot / rng.uniform(*SPANS) * soft(shape.body, 0.6), np.float32)
    plain = rng.random() < 0.5
    frames = [_seen(deepcopy(rng), shape, each, plain) for each in (warmth, warmth + warmer)]
    return Pair(np.stack(frames), SIDES.index(tumour.side))


def _add_vessels(rng: np.random.Generator, warmth: Field, around: Tumour, half: float) -> None:
    """More veins around a place, in place, as they are described around tumours."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    away = np.hypot(x - around.x / SCALE, y - around.y / SCALE) / (half * rng.uniform(0.15, 0.4))
    ridge = np.exp(-np.abs(noise(rng, rng.uniform(2, 5))) / rng.uniform(0.08, 0.25))
    warmth += rng.uniform(0.02, 0.12) * cv2.GaussianBlur(ridge, (0, 0), rng.uniform(0.4, 1.0)) * np.exp(-(away**2))


def _seen(rng: np.random.Generator, shape: Shape, warmth: Field, plain: bool) -> NDArray[np.uint8]:
    """Gray levels uint8 [120, 160] of a torso, among objects and through any camera, or `plain` as it is."""
    warmth = warmth.copy()
    if not plain:
        add_objects(rng, warmth, replace(shape, labels=shape.labels.copy()))
        return through_camera(rng, warmth)
    noise_of_camera = rng.uniform(*NOISE) / SCALE / SPAN * rng.standard_normal(warmth.shape, np.float32)
    frame = cv2.GaussianBlur(warmth, (0, 0), float(rng.uniform(0.4, 0.7))) + noise_of_camera
    return np.asarray((frame - frame.min()) / np.ptp(frame) * 255, np.uint8)
