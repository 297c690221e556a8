"""The outlines of a phantom's torso: which pixel is body, breast, nipple, armpit or neck.

Shapes are drawn in a torso's own coordinates in nominal pixels: `u` points outward from the midline on either side, `y`
points down from the frame's top. A camera (zoom, offset, tilt) then places them in the frame. The numbers follow the
median geometry of the regions in the database; "left" is the image's left throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

FRAME_HEIGHT, FRAME_WIDTH = 480, 640
REGIONS = ("left_breast", "right_breast", "left_nipple", "right_nipple", "left_armpit", "right_armpit", "ROI", "neck")
SIDES = ("left", "right")

MIDLINE = 324.0  # px: where an unshifted torso's midline lies
PX_PER_MM = 1.3  # of an unzoomed camera
RIGHT_LOWER = 3.0  # px: in the database the image's right half lies a little lower than its left half
ARMPIT_OUTWARD = 7.0  # px: likewise the left armpit lies further out than the right one

Points = NDArray[np.float64]  # [P, 2] as (x, y) or (u, y)
Mask = NDArray[np.uint8]  # [H, W], 0 or 255
Field = NDArray[np.float32]  # [H, W], in C unless said otherwise


@dataclass(frozen=True)
class Camera:
    """Places torso coordinates in the frame: `px_per_mm` says how large a millimetre of skin appears."""

    zoom: float
    shift: tuple[float, float]
    tilt: float
    px_per_mm: float

    def place(self, points: Points, side: str = "right") -> Points:
        """Frame coordinates [P, 2] (x, y) of torso coordinates [P, 2] (u, y) on one side."""
        sign = -1.0 if side == "left" else 1.0
        x = sign * points[:, 0] * self.zoom
        y = (points[:, 1] + sign * RIGHT_LOWER - FRAME_HEIGHT / 2) * self.zoom
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        placed = np.stack([cos * x - sin * y + MIDLINE, sin * x + cos * y + FRAME_HEIGHT / 2], axis=1)
        return np.asarray(placed + np.asarray(self.shift), dtype=np.float64)


@dataclass(frozen=True)
class Anatomy:
    """One torso: `body` and `head` masks, a mask and a polygon [P, 2] (x, y) for each visible region."""

    camera: Camera
    body: Mask
    head: Mask
    masks: dict[str, Mask]
    polygons: dict[str, Points]

    def inside_distance(self, name: str) -> Field:
        """How far [H, W] in pixels each place of a region lies from its outline; 0 outside."""
        return np.asarray(cv2.distanceTransform(self.masks[name], cv2.DIST_L2, 3), dtype=np.float32)


class Draws:
    """A generator whose draws keep near the typical torso: deviations from the middle are scaled by `variety`, 0 to 1.

    At 1 the traits spread as among patients; the nearer to 0, the more alike the torsos, and what few patients have
    (arms down, warm nipples, no marker) does not occur at all.
    """

    def __init__(self, rng: np.random.Generator, variety: float) -> None:
        self.rng, self.variety = rng, variety

    def normal(self, mean: float, deviation: float, size: int | tuple[int, ...] | None = None) -> Any:
        """As `Generator.normal`, with the deviation scaled."""
        return self.rng.normal(mean, self.variety * deviation, size)

    def uniform(self, low: float, high: float, size: int | tuple[int, ...] | None = None) -> Any:
        """As `Generator.uniform`, over the middle part of the range."""
        middle, half = (low + high) / 2, self.variety * (high - low) / 2
        return self.rng.uniform(middle - half, middle + half, size)

    def happens(self, probability: float) -> bool:
        """Whether something that so many patients have is there."""
        return bool(0.5 + self.variety * (self.rng.random() - 0.5) < probability)


def draw_camera(draws: Draws) -> Camera:
    """A camera about a metre and a half away, never quite centred."""
    zoom = float(np.exp(draws.normal(0.0, 0.055)))
    shift = (float(draws.normal(0.0, 11.0)), float(draws.normal(0.0, 11.0)))
    return Camera(zoom, shift, float(draws.normal(0.0, 0.018)), PX_PER_MM * zoom * float(draws.uniform(0.97, 1.03)))


def smooth_outline(points: Points, samples: int = 96) -> Points:
    """A closed periodic spline [samples, 2] through the control points [P, 2]."""
    closed = np.concatenate([points, points[:1]])
    knots = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(closed, axis=0), axis=1)))])
    spline = CubicSpline(knots, closed, bc_type="periodic")
    return np.asarray(spline(np.linspace(0.0, knots[-1], samples, endpoint=False)), dtype=np.float64)


def fill(outline: Points, value: int = 255) -> Mask:
    """Filled polygon [H, W] of an outline [P, 2] in frame coordinates."""
    mask = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], value, cv2.LINE_8, 4)
    return mask


def as_mask(values: Any) -> Mask:
    """The same array as a mask: OpenCV's own annotations leave the number type open."""
    return np.asarray(values, dtype=np.uint8)


def trace(mask: Mask) -> Points | None:
    """The outline [P, 2] of a mask's largest piece, within a pixel; None when hardly anything of it is in the frame."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    largest = max(contours, key=cv2.contourArea)
    if cv2.contourArea(largest) < 150:
        return None
    return np.asarray(cv2.approxPolyDP(largest, 0.8, True)[:, 0], dtype=np.float64)


def _breast_outline(draws: Draws, common: dict[str, float]) -> tuple[Points, Points]:
    """Outline [P, 2] and nipple centre [2] of one breast (u, y): an egg that hangs down and outward."""
    area = np.exp(common["size"] + draws.normal(0.0, 0.05))
    aspect = np.exp(common["aspect"] + draws.normal(0.0, 0.03))
    half_width, half_height = 109.0 * np.sqrt(area) / aspect, 136.0 * np.sqrt(area) * aspect
    droop = common["droop"] + draws.normal(0.0, 0.02)
    theta = np.linspace(0.0, 2 * np.pi, 96, endpoint=False)
    cos, sin = np.cos(theta), np.sin(theta)
    wobble = 1.0 + sum(draws.normal(0.0, 0.012) * np.cos(n * theta + draws.rng.uniform(0, 6.3)) for n in (2, 3, 4))
    # More of the height lies below the centre in a hanging breast, and its lower half is the wider one.
    dy = half_height * np.sign(sin) * np.abs(sin) ** 0.93 * np.where(sin > 0, 1 + droop, 1 - droop) * wobble
    du = half_width * np.sign(cos) * np.abs(cos) ** 0.93 * (1.0 + common["pear"] * sin) * wobble
    centre = np.array([112.0 + draws.normal(0.0, 3.0), 276.0 + common["height"] + draws.normal(0.0, 3.0)])
    centre[1] -= half_height * droop
    u = centre[0] + du + common["lean"] * dy
    # Two large breasts touch at the midline and press each other flat.
    nearest = common["cleft"]
    u = nearest + np.logaddexp(0.0, (u - nearest) / 5.0) * 5.0
    along = np.array([0.37 * half_width, 0.36 * half_height * (1 + droop)])
    nipple = centre + along + np.array([common["lean"] * along[1] + draws.normal(8, 8), draws.normal(6, 7)])
    return np.stack([u, centre[1] + dy], axis=1), nipple


def _torso_outline(draws: Draws, width: float) -> Points:
    """Half of trunk, trapezius and neck [P, 2] (u, y), from the throat down to below the frame."""
    neck = 70.0 * np.exp(draws.normal(0.0, 0.07))
    waist = width * draws.uniform(0.80, 0.97)
    slope = draws.normal(0.0, 7.0)
    return np.array(
        [
            [-20.0, -90.0],
            [neck, -90.0],
            [neck, 20.0],
            [neck + 22.0, 62.0 + slope],
            [140.0, 92.0 + slope],
            [width - 14.0, 130.0],
            [width, 210.0],
            [width, 290.0],
            [(width + waist) / 2 + 5, 360.0],
            [waist, 420.0],
            [waist + draws.uniform(-10, 22), 620.0],
            [-20.0, 620.0],
        ]
    )


def _arm_outline(draws: Draws, raised: bool) -> Points:
    """One upper arm [P, 2] (u, y): a tapered limb towards an upper corner, or hanging beside the trunk."""
    thick = np.exp(draws.normal(0.0, 0.09))
    if raised:
        shoulder, elbow = np.array([160.0, 122.0]), np.array([350.0 + draws.normal(0, 18), -75.0 + draws.normal(0, 26)])
        joints = np.stack([shoulder, (shoulder + elbow) / 2, elbow + (elbow - shoulder) * 0.3])
        half = np.array([60.0, 54.0, 48.0]) * thick
    else:
        out = draws.normal(0.0, 7.0)
        joints = np.array([[188.0, 118.0], [262.0 + out, 236.0], [296.0 + out, 360.0], [300.0 + out, 640.0]])
        half = np.array([44.0, 39.0, 35.0, 31.0]) * thick
    direction = np.gradient(joints, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * half[:, None]
    cap = joints[:1] - direction[:1] * half[0] * 0.8
    return np.concatenate([cap, joints + normal, (joints - normal)[::-1]])


def _armpit_outline(draws: Draws, raised: bool) -> Points:
    """One armpit [P, 2] (u, y): from the inner arm down along the chest wall to a tip above the breast's side."""
    if raised:
        base = [[150, 54], [222, 34], [272, 62], [280, 140], [252, 225], [213, 290], [168, 250], [124, 185], [122, 116]]
    else:
        base = [
            [170, 92],
            [206, 86],
            [228, 118],
            [236, 180],
            [233, 240],
            [206, 296],
            [166, 245],
            [128, 190],
            [134, 126],
        ]
    points = np.array(base, dtype=np.float64) + draws.normal(0.0, 4.0, (len(base), 2))
    centre = points.mean(axis=0)
    return smooth_outline(centre + (points - centre) * np.exp(draws.normal(0.0, 0.06, 2)))


def _neck_outline(draws: Draws) -> Points:
    """The neck between jaw and collar bones [P, 2] (u, y): both sides, open to the body's outline."""
    depth, flare = draws.normal(106.0, 7.0), draws.normal(98.0, 7.0)
    half = np.array([[0, depth], [flare * 0.55, depth - 24], [flare, 62.0], [92, 40], [88, 3]]) + draws.normal(
        0, 3, (5, 2)
    )
    half[0, 0] = 0.0
    return np.concatenate([half, half[:0:-1] * np.array([-1.0, 1.0])])


def _body_mask(draws: Draws, camera: Camera, breasts: list[Mask], raised: bool, width: float) -> Mask:
    """Everything warm below the jaw [H, W]: trunk, neck, arms and breasts, its corners rounded as flesh rounds them."""
    body = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
    for side in SIDES:
        body |= fill(camera.place(_torso_outline(draws, width + draws.normal(0, 3)), side))
        body |= fill(smooth_outline(camera.place(_arm_outline(draws, raised), side)))
    padded = cv2.copyMakeBorder(body, 24, 24, 24, 24, cv2.BORDER_REPLICATE)
    rounded = cv2.GaussianBlur(padded, (0, 0), 7.0)[24:-24, 24:-24]
    body = np.where(rounded > 127, 255, 0).astype(np.uint8)
    for breast in breasts:
        body |= breast
    return body


def _interest_mask(masks: dict[str, Mask], body: Mask) -> Mask:
    """The outline of everything of interest [H, W]: the regions and the chest between them."""
    union = np.zeros_like(body)
    for mask in masks.values():
        union |= mask
    small = cv2.resize(union, (FRAME_WIDTH // 4, FRAME_HEIGHT // 4), interpolation=cv2.INTER_AREA)
    padded = cv2.copyMakeBorder(small, 24, 24, 24, 24, cv2.BORDER_CONSTANT)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (41, 41)))
    wide = cv2.resize(closed[24:-24, 24:-24], (FRAME_WIDTH, FRAME_HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.where((wide > 127) & (body > 0), 255, 0).astype(np.uint8) | union


def _drawn_traits(draws: Draws) -> dict[str, float]:
    """What both sides of one patient share: how large, long and hanging the breasts are."""
    size = float(np.clip(draws.normal(0.0, 0.20), -0.5, 0.42))
    return {
        "size": size,
        "aspect": float(draws.normal(0.0, 0.035)),
        "droop": float(np.clip(draws.normal(0.08 + 0.1 * size, 0.06), -0.05, 0.25)),
        "pear": float(draws.uniform(0.06, 0.22)),
        "lean": float(draws.normal(0.23, 0.06)),
        "height": float(draws.normal(0.0, 8.0)),
        "cleft": float(draws.uniform(3.0, 12.0)),
    }


def _nipple_mask(draws: Draws, camera: Camera, centre: Points, side: str, breast: Mask) -> Mask | None:
    """Areola and nipple [H, W] of one side, or None where it cannot be seen."""
    radius = 26.5 * np.exp(draws.normal(0.0, 0.12))
    theta = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    squeeze, turn = draws.uniform(0.84, 1.0), draws.rng.uniform(0, np.pi)
    radii = radius * (1.0 + (squeeze - 1.0) * np.cos(theta - turn) ** 2)
    hidden = draws.happens(0.05)
    outline = centre + np.stack([np.cos(theta), np.sin(theta)], axis=1) * radii[:, None]
    mask = fill(camera.place(outline, side)) & as_mask(cv2.erode(breast, np.ones((5, 5))))
    return None if hidden else mask


def draw_anatomy(draws: Draws) -> Anatomy:
    """One torso drawn from a generator: the same generator state gives the same torso."""
    camera, traits = draw_camera(draws), _drawn_traits(draws)
    raised = draws.happens(0.88)
    drawn = [_breast_outline(draws, traits) for _ in SIDES]
    breasts = [fill(camera.place(outline, side)) for side, (outline, _) in zip(SIDES, drawn, strict=True)]
    width = 205.0 * float(np.exp(0.12 * traits["size"] + draws.normal(0.0, 0.03)))
    body = _body_mask(draws, camera, breasts, raised, width)
    jaw = np.array([[-64.0, -90.0], [64.0, -90.0], [56.0, -25.0], [26.0, 4.0], [-26.0, 4.0], [-56.0, -25.0]])
    head = fill(smooth_outline(camera.place(jaw * draws.uniform(0.94, 1.06, 2) + [0.0, draws.normal(0, 6)])))
    body |= head

    found: dict[str, Any] = {}
    for side, breast, (_, nipple) in zip(SIDES, breasts, drawn, strict=True):
        outward = ARMPIT_OUTWARD * (1 if side == "left" else -1)
        armpit = fill(camera.place(_armpit_outline(draws, raised) + np.array([outward, 0.0]), side))
        found[f"{side}_breast"] = breast
        found[f"{side}_nipple"] = _nipple_mask(draws, camera, nipple, side, breast)
        found[f"{side}_armpit"] = armpit & body & ~as_mask(cv2.dilate(breast, np.ones((3, 3)))) & ~head
    found["neck"] = fill(camera.place(_neck_outline(draws))) & body & ~head
    masks: dict[str, Mask] = {name: mask for name, mask in found.items() if mask is not None}
    masks["ROI"] = _interest_mask(masks, body)
    polygons = {name: trace(masks[name]) for name in REGIONS if name in masks}
    visible = {name: polygon for name, polygon in polygons.items() if polygon is not None}
    return Anatomy(camera, body, head, {name: fill(polygon) for name, polygon in visible.items()}, visible)
