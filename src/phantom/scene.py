"""What else a thermogram shows, and what the camera and its software make of it: objects, palettes, noise, bars."""

import cv2
import numpy as np
from numpy.typing import NDArray

from src.datasets.snapshots import PALETTES, palette_colours
from src.phantom.shape import BACKGROUND, CLASSES, HEIGHT, WIDTH, Field, Mask, Points, Shape, fill
from src.phantom.skin import noise, soft

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_CURVES = {name: palette_colours(name).astype(np.float32) @ _LUMINANCE / 255 for name in sorted(PALETTES)}


def _box(centre: tuple[float, float], size: tuple[float, float], turn: float) -> Points:
    return np.asarray(cv2.boxPoints((centre, size, turn)), np.float32)


def below_breasts(rng: np.random.Generator, shape: Shape) -> tuple[float, float]:
    """A pixel (x, y) of the belly, where a marker lies most often."""
    ((x, y),) = shape.camera.place(np.array([[rng.normal(0, 0.12), rng.normal(1.35, 0.22)]], np.float32), 1)
    return float(x), float(y)


def add_marker(
    rng: np.random.Generator, warmth: Field, shape: Shape, middle: tuple[float, float], where: Mask | None = None
) -> None:
    """Put a square of cool paper around a pixel (x, y), in place; `where` given, on these pixels alone."""
    side = shape.camera.half * rng.uniform(0.08, 0.32)
    marker = fill(_box(middle, (side, side * rng.uniform(0.85, 1.15)), rng.normal(0, 8)))
    marker = marker if where is None else marker & where
    warmth[:] = np.where(marker, rng.uniform(0.0, 0.62) + 0.01 * rng.standard_normal(warmth.shape), warmth)


def add_objects(rng: np.random.Generator, warmth: Field, shape: Shape) -> None:
    """Put a paper marker, a belt, hair or a hand into the picture, in place; what hides a region is no region."""
    uniform, scale, labels = rng.uniform, shape.camera.half, shape.labels
    if rng.random() < 0.72:  # a marker, most often on the belly below the breasts
        middle = below_breasts(rng, shape)
        if rng.random() < 0.06:
            middle = uniform(0, WIDTH), uniform(0, HEIGHT)
        add_marker(rng, warmth, shape, middle)
    if rng.random() < 0.15:  # trousers, with a belt
        ((_, y),) = shape.camera.place(np.array([[0.0, uniform(1.7, 2.6)]], np.float32), 1)
        rows = np.arange(HEIGHT, dtype=np.float32)[:, None] - y + rng.normal(0, 3) * np.linspace(-1, 1, WIDTH) ** 2
        cloth = rows > 0
        texture = uniform(0.15, 0.6) + uniform(0, 0.08) * noise(rng, uniform(1, 4))
        warmth[:] = np.where(cloth & shape.body, texture + (np.abs(rows - 2) < 1.5) * uniform(-0.2, 0.2), warmth)
        labels[cloth & shape.body] = BACKGROUND
    if rng.random() < 0.12:  # hair or a chain of it over shoulders and chest
        for side in rng.choice((-1, 1), rng.integers(1, 3)):
            strand = [[uniform(0.1, 0.4), -1.2], [uniform(0.2, 0.5), -0.5], [uniform(0.2, 0.6), uniform(-0.3, 0.3)]]
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            points = shape.camera.place(np.array(strand, np.float32), int(side))
            cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 1, int(uniform(2, 9)), cv2.LINE_8, 4)
            hair = mask.astype(bool)
            warmth[:] = np.where(hair, uniform(0.2, 0.55) + 0.05 * noise(rng, 1.5), warmth)
            labels[hair] = BACKGROUND
    if rng.random() < 0.05:  # a dressing, through which the breast below it is still known
        covered = shape.sides[rng.integers(2)]
        turn, size = uniform(0, 90), (scale * uniform(0.15, 0.5), scale * uniform(0.1, 0.4))
        where = (covered.centre[0] + rng.normal(0, 0.2) * scale, covered.centre[1] + rng.normal(0, 0.2) * scale)
        dressing = soft(fill(_box(where, size, turn)), 0.7)
        warmth += dressing * (uniform(0.3, 0.75) + 0.04 * noise(rng, 2) - warmth) * uniform(0.4, 1)
        for number in range(2):  # but not the nipple
            hidden = (labels == CLASSES.index("left_nipple") + number) & (dressing > 0.5)
            labels[hidden] = CLASSES.index("left_breast") + number
    if rng.random() < 0.07:  # something cold or warm held before the body: a hand, a cloth
        centre = (uniform(0, WIDTH), uniform(HEIGHT * 0.2, HEIGHT))
        blob = fill(_box(centre, (scale * uniform(0.2, 0.7), scale * uniform(0.2, 0.7)), uniform(0, 90)))
        blob = soft(blob, 3) * (1 + 0.3 * noise(rng, 3)) > 0.5
        warmth[:] = np.where(blob, uniform(0.0, 0.9) + 0.08 * noise(rng, 2), warmth)
        labels[blob] = BACKGROUND


def through_camera(rng: np.random.Generator, warmth: Field) -> NDArray[np.uint8]:
    """Gray levels uint8 [HEIGHT, WIDTH] as cameras and their export give them."""
    uniform = rng.uniform
    picture = cv2.GaussianBlur(warmth, (0, 0), float(uniform(0.25, 1.0) + (rng.random() < 0.1) * uniform(0, 1.0)))
    low, high = float(picture.min()), float(np.quantile(picture, 0.998))
    if rng.random() < 0.25:  # a range that clips what is cold, or what is warm
        low += uniform(0, 0.45) * (high - low)
    picture = np.clip((picture - low) / (high - low + 1e-6), 0, None)
    if rng.random() < 0.2:
        picture /= uniform(0.85, 1.3)
    picture = np.clip(picture, 0, 1) ** uniform(0.55, 1.9)
    if rng.random() < 0.3:
        picture = _false_colours(rng, picture)
    if rng.random() < 0.1:  # a coarser detector
        share = uniform(0.35, 0.8)
        small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    picture = picture + rng.standard_normal(picture.shape, np.float32) * uniform(0, 0.02) ** 1.2
    if rng.random() < 0.06:  # rows that drift
        picture = picture + uniform(0, 0.03) * rng.standard_normal((HEIGHT, 1))
    if rng.random() < 0.06:  # few levels
        steps = uniform(10, 40)
        picture = np.round(picture * steps) / steps
    if rng.random() < 0.07:
        picture = _printed_over(rng, picture)
    return np.asarray(np.clip(picture, 0, 1) * 255, np.uint8)


def _false_colours(rng: np.random.Generator, picture: Field) -> Field:
    """The luminance of a frame that was exported in colours, which no longer rises with the temperature."""
    if rng.random() < 0.6:
        curve = _CURVES[str(rng.choice(list(_CURVES)))]
    else:
        knots = np.concatenate([[0.0], np.sort(rng.random(rng.integers(2, 6))), [1.0]])
        curve = np.interp(np.linspace(0, 1, 256), knots, rng.random(len(knots)) * (knots > 0)).astype(np.float32)
    mixed = rng.uniform(0.3, 1)
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    curve = cv2.GaussianBlur((mixed * curve + (1 - mixed) * levels)[None], (0, 0), rng.uniform(0.5, 6))[0]
    return np.asarray(np.interp(picture, levels, curve), np.float32)


def _printed_over(rng: np.random.Generator, picture: Field) -> Field:
    """A scale bar at an edge, or letters in a corner."""
    picture = np.array(picture)
    if rng.random() < 0.5:
        wide, top = int(rng.integers(3, 10)), int(rng.integers(0, 25))
        bar = np.linspace(1, 0, HEIGHT - 2 * top)[:, None]
        at = int(rng.integers(0, 6))
        columns = slice(WIDTH - at - wide, WIDTH - at) if rng.random() < 0.7 else slice(at, at + wide)
        picture[top : HEIGHT - top, columns] = bar
    for _ in range(rng.integers(0, 3)):
        text = "".join(rng.choice(list("0123456789.C"), 4))
        where = (int(rng.integers(0, WIDTH - 30)), int(rng.choice([8, HEIGHT - 3])))
        written = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.putText(written, text, where, cv2.FONT_HERSHEY_PLAIN, 0.7, 1)
        picture[written > 0] = rng.random() < 0.8
    return picture
