"""The temperatures of a phantom's skin, and the frames that a camera makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from src.phantom.anatomy import FRAME_HEIGHT, FRAME_WIDTH, MIDLINE, SIDES, Anatomy, Draws, Field, Mask, fill

NOISE = 0.03, 0.08
"""C: between these lies the standard deviation of a camera's noise."""


@dataclass(frozen=True)
class Skin:
    """One torso's temperatures without tumour and noise, and how its camera behaves.

    `degrees` and `background` are float32 [480, 640] in C, `flesh` is how much of each pixel is body, 0 to 1. `maximum`
    is the first frame's highest temperature, `cooling` C a frame, `noise` the standard deviation in C.
    """

    degrees: Field
    background: Field
    flesh: Field
    maximum: float
    cooling: float
    noise: float


def _blurred(mask: Mask, sigma: float) -> Field:
    """A mask's soft version, 0 to 1 [H, W]."""
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255.0, (0, 0), sigma), dtype=np.float32)


def _texture(draws: Draws, step: int, rms: float) -> Field:
    """A smooth random field [H, W] in C whose blobs are about `step` px wide."""
    coarse = draws.rng.standard_normal((FRAME_HEIGHT // step + 3, FRAME_WIDTH // step + 3)).astype(np.float32)
    wide = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    field = wide[step : step + FRAME_HEIGHT, step : step + FRAME_WIDTH]
    return np.asarray(field * (rms / field.std()), dtype=np.float32)


def _paint_vessels(draws: Draws, anatomy: Anatomy) -> Field:
    """Warm, thin, blurred lines [H, W] in C that wind from collar bone and armpit over the breasts."""
    canvas = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
    for side in SIDES:
        for _ in range(draws.rng.integers(2, 8)):
            start = np.array([draws.uniform(25.0, 190.0), draws.uniform(110.0, 260.0)])
            heading = draws.rng.uniform(0.0, np.pi)
            turns = heading + np.cumsum(draws.normal(0.0, 0.4, 6))
            steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * draws.uniform(14.0, 38.0, (6, 1))
            nodes = np.concatenate([start[None], start + np.cumsum(steps, axis=0)])
            line = CubicSpline(np.arange(7.0), anatomy.camera.place(nodes, side))(np.linspace(0.0, 6.0, 40))
            points = [np.round(line * 16).astype(np.int32)]
            level, thickness = int(draws.rng.integers(70, 256)), int(draws.rng.integers(2, 5))
            cv2.polylines(canvas, points, False, level, thickness, cv2.LINE_AA, 4)
    return _blurred(canvas, float(draws.uniform(1.6, 2.8))) * np.float32(draws.uniform(0.15, 0.6))


def _paint_breast(draws: Draws, degrees: Field, anatomy: Anatomy, side: str, coolness: float) -> None:
    """Cools one breast in place, most where it hangs lowest, and warms the fold below it."""
    mask = anatomy.masks[f"{side}_breast"]
    inside = anatomy.inside_distance(f"{side}_breast")
    rows = np.arange(FRAME_HEIGHT, dtype=np.float32)[:, None]
    outline = anatomy.polygons[f"{side}_breast"]
    top, height = float(outline[:, 1].min()), float(np.ptp(outline[:, 1]))
    hanging = np.clip((rows - top) / height, 0.0, 1.0)
    # Above, the breast goes over into the chest; below, it ends in a fold.
    crisp = np.clip(hanging * 2.5 - 0.3, 0.0, 1.0)
    soft = crisp * _blurred(mask, 2.0) + (1.0 - crisp) * _blurred(mask, 5.0)
    profile = 0.30 + 0.34 * hanging + 0.36 * np.sqrt(np.clip(inside / inside.max(), 0.0, 1.0))
    degrees -= np.float32(coolness) * profile * soft
    outside = cv2.distanceTransform(255 - mask, cv2.DIST_L2, 3)
    lower = 1.0 / (1.0 + np.exp(-(rows - top - 0.78 * height) / 12.0))
    warmth, reach = draws.uniform(0.2, 1.3), draws.uniform(6.0, 16.0)
    degrees += np.float32(warmth) * np.exp(-outside / np.float32(reach)) * lower * (1.0 - soft)


def _paint_trunk(draws: Draws, degrees: Field, anatomy: Anatomy) -> None:
    """Warm throat, breastbone and armpits, cooler arms, jaw and outer edges, in place."""
    camera = anatomy.camera
    u = (np.arange(FRAME_WIDTH, dtype=np.float32)[None, :] - MIDLINE - camera.shift[0]) / camera.zoom
    y = (np.arange(FRAME_HEIGHT, dtype=np.float32)[:, None] - camera.shift[1]) / camera.zoom
    breastbone = np.exp(-((u / draws.uniform(35.0, 70.0)) ** 2)) * np.exp(-(((y - 190.0) / 150.0) ** 2))
    degrees += np.float32(draws.uniform(0.2, 0.9)) * breastbone
    degrees -= np.float32(draws.uniform(0.3, 1.3)) * np.clip((np.abs(u) - 200.0) / 110.0, 0.0, 1.0)
    degrees -= np.float32(draws.uniform(-0.2, 0.9)) * np.clip((y - 340.0) / 120.0, 0.0, 1.0)
    for names, step, hollow in (
        (("left_armpit", "right_armpit"), draws.uniform(0.35, 0.7), draws.uniform(0.2, 0.9)),
        (("neck",), draws.uniform(0.35, 0.8), draws.uniform(0.1, 0.8)),
    ):
        for name in (name for name in names if name in anatomy.masks):
            inside = anatomy.inside_distance(name)
            rise = step * _blurred(anatomy.masks[name], 2.5) + hollow * inside / inside.max()
            degrees += rise.astype(np.float32)
    jaw = _blurred(anatomy.head, 2.5)
    degrees -= np.float32(draws.uniform(0.5, 1.8)) * jaw + np.float32(draws.uniform(0.5, 2.0)) * jaw * (1.0 - jaw)


def _paint_nipples(draws: Draws, degrees: Field, anatomy: Anatomy) -> None:
    """Areola and nipple on both sides in place: cooler than the breast in most patients, warmer in some."""
    sign, areola, tip = (1.0 if draws.happens(0.25) else -1.0), draws.uniform(0.35, 0.8), draws.uniform(0.2, 1.0)
    for side in SIDES:
        ratio = draws.uniform(0.8, 1.2)
        if f"{side}_nipple" not in anatomy.masks:
            continue
        mask = anatomy.masks[f"{side}_nipple"]
        inside = anatomy.inside_distance(f"{side}_nipple")
        core = np.clip(inside / inside.max() * 1.6 - 0.6, 0.0, 1.0)
        degrees += np.float32(sign * areola * ratio) * _blurred(mask, 1.6)
        degrees += np.float32((0.4 * sign - 0.3) * tip * ratio) * core


def _balance_breasts(degrees: Field, anatomy: Anatomy, difference: float) -> None:
    """Shifts both breasts in place until the right one is warmer by `difference` C on average."""
    means = [float(degrees[anatomy.masks[f"{side}_breast"] > 0].mean()) for side in SIDES]
    half = 0.5 * (difference - (means[1] - means[0]))
    for side, sign in zip(SIDES, (-1.0, 1.0), strict=True):
        degrees += np.float32(sign * half) * _blurred(anatomy.masks[f"{side}_breast"], 2.0)


def _paint_marker(draws: Draws, anatomy: Anatomy, degrees: Field, share: float) -> None:
    """A square of cool paper below the breasts, in place; only a share of the patients have it."""
    present = draws.happens(share)
    centre = np.array([[draws.normal(2.0, 14.0), draws.uniform(408.0, 445.0)]])
    half, turn = draws.uniform(21.0, 33.0) * np.sqrt(2.0), np.pi / 4 + draws.normal(0.0, 0.1)
    corners = centre + half * np.stack(
        [np.cos(turn + np.arange(4) * np.pi / 2), np.sin(turn + np.arange(4) * np.pi / 2)], 1
    )
    cool = float(draws.uniform(23.0, 28.0))
    if present:
        paper = fill(anatomy.camera.place(corners)) & ~(anatomy.masks["left_breast"] | anatomy.masks["right_breast"])
        soft = _blurred(paper, 1.0)
        degrees += (np.float32(cool) - degrees) * soft


def draw_skin(draws: Draws, anatomy: Anatomy, marker_share: float) -> Skin:
    """The temperatures of one torso, drawn from a generator, with its highest one where a real frame has it.

    `marker_share` is how many torsos have a paper marker.
    """
    degrees = 33.0 + _texture(draws, 110, draws.uniform(0.08, 0.2)) + _texture(draws, 28, draws.uniform(0.03, 0.07))
    degrees = degrees.astype(np.float32)
    _paint_trunk(draws, degrees, anatomy)
    coolness = float(draws.uniform(1.8, 4.0))
    for side in SIDES:
        _paint_breast(draws, degrees, anatomy, side, coolness)
    _paint_nipples(draws, degrees, anatomy)
    degrees += _paint_vessels(draws, anatomy)
    _balance_breasts(degrees, anatomy, float(draws.uniform(-0.45, 0.45)))
    # Skin that turns away from the camera looks cooler.
    edge = cv2.distanceTransform(anatomy.body, cv2.DIST_L2, 3)
    degrees -= np.float32(draws.uniform(0.6, 2.0)) * np.exp(-edge / np.float32(draws.uniform(6.0, 14.0)))
    _paint_marker(draws, anatomy, degrees, marker_share)
    down = np.linspace(-0.5, 0.5, FRAME_HEIGHT, dtype=np.float32)[:, None]
    background = 21.0 + draws.normal(0.0, 0.5) + draws.normal(0.0, 0.3) * down + _texture(draws, 96, 0.08)
    focus = float(draws.uniform(0.7, 1.4))
    return Skin(
        degrees=np.asarray(cv2.GaussianBlur(degrees, (0, 0), focus), dtype=np.float32),
        background=background.astype(np.float32),
        flesh=_blurred(anatomy.body, focus),
        maximum=float(np.clip(draws.normal(34.6, 0.8), 32.6, 37.0)),
        cooling=float(draws.uniform(-0.01, 0.03)),
        noise=float(draws.uniform(*NOISE)),
    )


def _moved(field: Field, move: NDArray[np.float64]) -> Field:
    """A field [H, W] after an affine move [2, 3], its border continued outward."""
    size = (FRAME_WIDTH, FRAME_HEIGHT)
    return np.asarray(cv2.warpAffine(field, move, size, borderMode=cv2.BORDER_REPLICATE), dtype=np.float32)


def render_frame(rng: np.random.Generator, skin: Skin, frame: int, spot: Field | None) -> Field:
    """Frame number `frame` float32 [480, 640] in C: noise, a breath's shift and some drift; `spot` is added last.

    The highest temperature is set without the spot: it must not tell the sick from the healthy.
    """
    degrees, flesh = skin.degrees, skin.flesh
    angle, reach = rng.uniform(0.0, 2 * np.pi), rng.uniform(1.0, 3.0)
    noise = rng.standard_normal((FRAME_HEIGHT, FRAME_WIDTH), dtype=np.float32) * np.float32(skin.noise)
    if frame > 0:
        move = np.array([[1.0, 0.0, reach * np.cos(angle)], [0.0, 1.0, reach * np.sin(angle)]])
        degrees, flesh = _moved(degrees, move), _moved(flesh, move)
        spot = None if spot is None else _moved(spot, move)
    skin_noisy = degrees + noise
    warmest = float(np.where(flesh > 0.99, skin_noisy, 0.0).max())
    skin_noisy += np.float32(skin.maximum - skin.cooling * frame - warmest)
    rendered = skin.background + noise + flesh * (skin_noisy - skin.background - noise)
    if spot is not None:
        rendered += flesh * spot
    return np.asarray(rendered, dtype=np.float32)
