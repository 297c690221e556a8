"""The temperatures of a phantom's torso, and the frames that a camera makes of them."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from src.phantom.draws import Draws
from src.phantom.outlines import FRAME_HEIGHT, FRAME_WIDTH, Frame, enlarged
from src.phantom.scene import add_marker, below_breasts
from src.phantom.shape import BACKGROUND, HEIGHT, WIDTH, Field, Shape
from src.phantom.skin import soft

NOISE = 0.03, 0.08  # C: between these lies the standard deviation of a camera's noise
SPAN = 15.0  # C from warmth 0 to warmth 1: about from a room at 22 C to skin at 36 C


@dataclass(frozen=True)
class Skin:
    """One torso in front of its room without tumour and noise, and how its camera behaves.

    `degrees` is float32 [480, 640] in C, `flesh` is how much of each pixel is body, 0 to 1; `cooling` is C a frame,
    `noise` the standard deviation in C.
    """

    degrees: Frame
    flesh: Frame
    cooling: float
    noise: float


def balanced(warmth: Field, shape: Shape, difference: float) -> Field:
    """The warmth with both breasts shifted until the right one is warmer by `difference` on average."""
    left, right = (side.breast & shape.body for side in shape.sides)
    half = (difference - float(warmth[right].mean() - warmth[left].mean())) / 2
    return warmth + np.float32(half) * (soft(right, 2) - soft(left, 2))


def draw_skin(draws: Draws, shape: Shape, warmth: Field, marker: np.random.Generator | None) -> Skin:
    """The temperatures of a torso whose warmth [120, 160] is given, its highest one where a real frame has it.

    `marker` draws the paper below the breasts; without it there is none.
    """
    warmth = balanced(warmth, shape, float(draws.uniform(-0.45, 0.45)) / SPAN)
    flesh = shape.body | shape.head
    maximum = float(np.clip(draws.normal(34.6, 0.8), 32.6, 37.0))
    warmest = float(warmth[flesh].max())  # also where paper hides it: paper changes nothing around it
    if marker is not None:
        _lay_paper(marker, warmth, shape)
    focus = float(draws.uniform(1.5, 2.5))
    return Skin(
        _in_focus(maximum + SPAN * (warmth - warmest), focus),
        _in_focus(flesh, focus),
        cooling=float(draws.uniform(-0.01, 0.03)),
        noise=float(draws.uniform(*NOISE)),
    )


def _lay_paper(rng: np.random.Generator, warmth: Field, shape: Shape) -> None:
    """Put paper on the belly, in place: just below the breasts or lower, in sight where a belly is, on no region."""
    x, y = below_breasts(rng, shape)
    regions = shape.labels != BACKGROUND
    fold = np.flatnonzero(regions[:, round(np.clip(x, 0, WIDTH - 1))]).max(initial=0)
    y = min(max(y, fold + 0.08 * shape.camera.half), HEIGHT - 5)
    add_marker(rng, warmth, shape, (x, y), ~regions)


def _in_focus(field: NDArray[Any], sigma: float) -> Frame:
    """A field [120, 160] in a frame's size, as sharp as a lens shows it."""
    return np.asarray(cv2.GaussianBlur(enlarged(field), (0, 0), sigma), np.float32)


def _moved(field: Frame, move: NDArray[np.float64]) -> Frame:
    """A field after an affine move [2, 3], its border continued outward."""
    size = (FRAME_WIDTH, FRAME_HEIGHT)
    return np.asarray(cv2.warpAffine(field, move, size, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32)


def render_frame(rng: np.random.Generator, skin: Skin, frame: int, spot: Frame | None) -> Frame:
    """Frame number `frame` float32 [480, 640] in C: noise, a breath's shift and some drift; `spot` is added last.

    The highest temperature was set without the spot: it must not tell the sick from the healthy.
    """
    degrees, flesh = skin.degrees, skin.flesh
    angle, reach = rng.uniform(0.0, 2 * np.pi), rng.uniform(1.0, 3.0)
    noise = rng.standard_normal((FRAME_HEIGHT, FRAME_WIDTH), dtype=np.float32) * np.float32(skin.noise)
    if frame > 0:
        move = np.array([[1.0, 0.0, reach * np.cos(angle)], [0.0, 1.0, reach * np.sin(angle)]])
        degrees, flesh = _moved(degrees, move), _moved(flesh, move)
        spot = None if spot is None else _moved(spot, move)
    warmer = np.float32(-skin.cooling * frame) if spot is None else spot - np.float32(skin.cooling * frame)
    return np.asarray(degrees + noise + flesh * warmer, dtype=np.float32)
