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


def draw_camera(rng: np.random.Generator) -> Camera:
    """A camera about a metre and a half away, never quite centred."""
    zoom = float(np.exp(rng.normal(0.0, 0.055)))
    shift = (float(rng.normal(0.0, 11.0)), float(rng.normal(0.0, 11.0)))
    return Camera(zoom, shift, float(rng.normal(0.0, 0.018)), PX_PER_MM * zoom * float(rng.uniform(0.97, 1.03)))


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


def _breast_outline(rng: np.random.Generator, common: dict[str, float]) -> tuple[Points, Points]:
    """Outline [P, 2] and nipple centre [2] of one breast (u, y): an egg that hangs down and outward."""
    area = np.exp(common["size"] + rng.normal(0.0, 0.05))
    aspect = np.exp(common["aspect"] + rng.normal(0.0, 0.03))
    half_width, half_height = 109.0 * np.sqrt(area) / aspect, 136.0 * np.sqrt(area) * aspect
    droop = common["droop"] + rng.normal(0.0, 0.02)
    theta = np.linspace(0.0, 2 * np.pi, 96, endpoint=False)
    cos, sin = np.cos(theta), np.sin(theta)
    wobble = 1.0 + sum(rng.normal(0.0, 0.012) * np.cos(n * theta + rng.uniform(0, 6.3)) for n in (2, 3, 4))
    # More of the height lies below the centre in a hanging breast, and its lower half is the wider one.
    dy = half_height * np.sign(sin) * np.abs(sin) ** 0.93 * np.where(sin > 0, 1 + droop, 1 - droop) * wobble
    du = half_width * np.sign(cos) * np.abs(cos) ** 0.93 * (1.0 + common["pear"] * sin) * wobble
    centre = np.array([112.0 + rng.normal(0.0, 3.0), 276.0 + common["height"] + rng.normal(0.0, 3.0)])
    centre[1] -= half_height * droop
    u = centre[0] + du + common["lean"] * dy
    # Two large breasts touch at the midline and press each other flat.
    nearest = common["cleft"]
    u = nearest + np.logaddexp(0.0, (u - nearest) / 5.0) * 5.0
    along = np.array([0.37 * half_width, 0.36 * half_height * (1 + droop)])
    nipple = centre + along + np.array([common["lean"] * along[1] + rng.normal(8, 8), rng.normal(6, 7)])
    return np.stack([u, centre[1] + dy], axis=1), nipple


def _torso_outline(rng: np.random.Generator, width: float) -> Points:
    """Half of trunk, trapezius and neck [P, 2] (u, y), from the throat down to below the frame."""
    neck = 70.0 * np.exp(rng.normal(0.0, 0.07))
    waist = width * rng.uniform(0.80, 0.97)
    slope = rng.normal(0.0, 7.0)
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
            [waist + rng.uniform(-10, 22), 620.0],
            [-20.0, 620.0],
        ]
    )


def _arm_outline(rng: np.random.Generator, raised: bool) -> Points:
    """One upper arm [P, 2] (u, y): a tapered limb towards an upper corner, or hanging beside the trunk."""
    thick = np.exp(rng.normal(0.0, 0.09))
    if raised:
        shoulder, elbow = np.array([160.0, 122.0]), np.array([350.0 + rng.normal(0, 18), -75.0 + rng.normal(0, 26)])
        joints = np.stack([shoulder, (shoulder + elbow) / 2, elbow + (elbow - shoulder) * 0.3])
        half = np.array([60.0, 54.0, 48.0]) * thick
    else:
        out = rng.normal(0.0, 7.0)
        joints = np.array([[188.0, 118.0], [262.0 + out, 236.0], [296.0 + out, 360.0], [300.0 + out, 640.0]])
        half = np.array([44.0, 39.0, 35.0, 31.0]) * thick
    direction = np.gradient(joints, axis=0)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * half[:, None]
    cap = joints[:1] - direction[:1] * half[0] * 0.8
    return np.concatenate([cap, joints + normal, (joints - normal)[::-1]])


def _armpit_outline(rng: np.random.Generator, raised: bool) -> Points:
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
    points = np.array(base, dtype=np.float64) + rng.normal(0.0, 4.0, (len(base), 2))
    centre = points.mean(axis=0)
    return smooth_outline(centre + (points - centre) * np.exp(rng.normal(0.0, 0.06, 2)))


def _neck_outline(rng: np.random.Generator) -> Points:
    """The neck between jaw and collar bones [P, 2] (u, y): both sides, open to the body's outline."""
    depth, flare = rng.normal(106.0, 7.0), rng.normal(98.0, 7.0)
    half = np.array([[0, depth], [flare * 0.55, depth - 24], [flare, 62.0], [92, 40], [88, 3]]) + rng.normal(
        0, 3, (5, 2)
    )
    half[0, 0] = 0.0
    return np.concatenate([half, half[:0:-1] * np.array([-1.0, 1.0])])


def _body_mask(rng: np.random.Generator, camera: Camera, breasts: list[Mask], raised: bool, width: float) -> Mask:
    """Everything warm below the jaw [H, W]: trunk, neck, arms and breasts, its corners rounded as flesh rounds them."""
    body = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
    for side in SIDES:
        body |= fill(camera.place(_torso_outline(rng, width + rng.normal(0, 3)), side))
        body |= fill(smooth_outline(camera.place(_arm_outline(rng, raised), side)))
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


def _drawn_traits(rng: np.random.Generator) -> dict[str, float]:
    """What both sides of one patient share: how large, long and hanging the breasts are."""
    size = float(np.clip(rng.normal(0.0, 0.20), -0.5, 0.42))
    return {
        "size": size,
        "aspect": float(rng.normal(0.0, 0.035)),
        "droop": float(np.clip(rng.normal(0.08 + 0.1 * size, 0.06), -0.05, 0.25)),
        "pear": float(rng.uniform(0.06, 0.22)),
        "lean": float(rng.normal(0.23, 0.06)),
        "height": float(rng.normal(0.0, 8.0)),
        "cleft": float(rng.uniform(3.0, 12.0)),
    }


def _nipple_mask(rng: np.random.Generator, camera: Camera, centre: Points, side: str, breast: Mask) -> Mask | None:
    """Areola and nipple [H, W] of one side, or None where it cannot be seen."""
    radius = 26.5 * np.exp(rng.normal(0.0, 0.12))
    theta = np.linspace(0.0, 2 * np.pi, 48, endpoint=False)
    squeeze, turn = rng.uniform(0.84, 1.0), rng.uniform(0, np.pi)
    radii = radius * (1.0 + (squeeze - 1.0) * np.cos(theta - turn) ** 2)
    hidden = rng.random() < 0.05
    outline = centre + np.stack([np.cos(theta), np.sin(theta)], axis=1) * radii[:, None]
    mask = fill(camera.place(outline, side)) & as_mask(cv2.erode(breast, np.ones((5, 5))))
    return None if hidden else mask


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """One torso drawn from a generator: the same generator state gives the same torso."""
    camera, traits = draw_camera(rng), _drawn_traits(rng)
    raised = rng.random() < 0.88
    drawn = [_breast_outline(rng, traits) for _ in SIDES]
    breasts = [fill(camera.place(outline, side)) for side, (outline, _) in zip(SIDES, drawn, strict=True)]
    width = 205.0 * float(np.exp(0.12 * traits["size"] + rng.normal(0.0, 0.03)))
    body = _body_mask(rng, camera, breasts, raised, width)
    jaw = np.array([[-64.0, -90.0], [64.0, -90.0], [56.0, -25.0], [26.0, 4.0], [-26.0, 4.0], [-56.0, -25.0]])
    head = fill(smooth_outline(camera.place(jaw * rng.uniform(0.94, 1.06, 2) + [0.0, rng.normal(0, 6)])))
    body |= head

    found: dict[str, Any] = {}
    for side, breast, (_, nipple) in zip(SIDES, breasts, drawn, strict=True):
        outward = ARMPIT_OUTWARD * (1 if side == "left" else -1)
        armpit = fill(camera.place(_armpit_outline(rng, raised) + np.array([outward, 0.0]), side))
        found[f"{side}_breast"] = breast
        found[f"{side}_nipple"] = _nipple_mask(rng, camera, nipple, side, breast)
        found[f"{side}_armpit"] = armpit & body & ~as_mask(cv2.dilate(breast, np.ones((3, 3)))) & ~head
    found["neck"] = fill(camera.place(_neck_outline(rng))) & body & ~head
    masks: dict[str, Mask] = {name: mask for name, mask in found.items() if mask is not None}
    masks["ROI"] = _interest_mask(masks, body)
    polygons = {name: trace(masks[name]) for name in REGIONS if name in masks}
    visible = {name: polygon for name, polygon in polygons.items() if polygon is not None}
    return Anatomy(camera, body, head, {name: fill(polygon) for name, polygon in visible.items()}, visible)


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


def _texture(rng: np.random.Generator, step: int, rms: float) -> Field:
    """A smooth random field [H, W] in C whose blobs are about `step` px wide."""
    coarse = rng.standard_normal((FRAME_HEIGHT // step + 3, FRAME_WIDTH // step + 3)).astype(np.float32)
    wide = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    field = wide[step : step + FRAME_HEIGHT, step : step + FRAME_WIDTH]
    return np.asarray(field * (rms / field.std()), dtype=np.float32)


def _paint_vessels(rng: np.random.Generator, anatomy: Anatomy) -> Field:
    """Warm, thin, blurred lines [H, W] in C that wind from collar bone and armpit over the breasts."""
    canvas = np.zeros((FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
    for side in SIDES:
        for _ in range(rng.integers(2, 8)):
            start = np.array([rng.uniform(25.0, 190.0), rng.uniform(110.0, 260.0)])
            heading = rng.uniform(0.0, np.pi)
            turns = heading + np.cumsum(rng.normal(0.0, 0.4, 6))
            steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(14.0, 38.0, (6, 1))
            nodes = np.concatenate([start[None], start + np.cumsum(steps, axis=0)])
            line = CubicSpline(np.arange(7.0), anatomy.camera.place(nodes, side))(np.linspace(0.0, 6.0, 40))
            points = [np.round(line * 16).astype(np.int32)]
            level, thickness = int(rng.integers(70, 256)), int(rng.integers(2, 5))
            cv2.polylines(canvas, points, False, level, thickness, cv2.LINE_AA, 4)
    return _blurred(canvas, float(rng.uniform(1.6, 2.8))) * np.float32(rng.uniform(0.15, 0.6))


def _paint_breast(rng: np.random.Generator, degrees: Field, anatomy: Anatomy, side: str, coolness: float) -> None:
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
    warmth, reach = rng.uniform(0.2, 1.3), rng.uniform(6.0, 16.0)
    degrees += np.float32(warmth) * np.exp(-outside / np.float32(reach)) * lower * (1.0 - soft)


def _paint_trunk(rng: np.random.Generator, degrees: Field, anatomy: Anatomy) -> None:
    """Warm throat, breastbone and armpits, cooler arms, jaw and outer edges, in place."""
    camera = anatomy.camera
    u = (np.arange(FRAME_WIDTH, dtype=np.float32)[None, :] - MIDLINE - camera.shift[0]) / camera.zoom
    y = (np.arange(FRAME_HEIGHT, dtype=np.float32)[:, None] - camera.shift[1]) / camera.zoom
    breastbone = np.exp(-((u / rng.uniform(35.0, 70.0)) ** 2)) * np.exp(-(((y - 190.0) / 150.0) ** 2))
    degrees += np.float32(rng.uniform(0.2, 0.9)) * breastbone
    degrees -= np.float32(rng.uniform(0.3, 1.3)) * np.clip((np.abs(u) - 200.0) / 110.0, 0.0, 1.0)
    degrees -= np.float32(rng.uniform(-0.2, 0.9)) * np.clip((y - 340.0) / 120.0, 0.0, 1.0)
    for names, step, hollow in (
        (("left_armpit", "right_armpit"), rng.uniform(0.35, 0.7), rng.uniform(0.2, 0.9)),
        (("neck",), rng.uniform(0.35, 0.8), rng.uniform(0.1, 0.8)),
    ):
        for name in (name for name in names if name in anatomy.masks):
            inside = anatomy.inside_distance(name)
            rise = step * _blurred(anatomy.masks[name], 2.5) + hollow * inside / inside.max()
            degrees += rise.astype(np.float32)
    jaw = _blurred(anatomy.head, 2.5)
    degrees -= np.float32(rng.uniform(0.5, 1.8)) * jaw + np.float32(rng.uniform(0.5, 2.0)) * jaw * (1.0 - jaw)


def _paint_nipples(rng: np.random.Generator, degrees: Field, anatomy: Anatomy) -> None:
    """Areola and nipple on both sides in place: cooler than the breast in most patients, warmer in some."""
    sign, areola, tip = (1.0 if rng.random() < 0.25 else -1.0), rng.uniform(0.35, 0.8), rng.uniform(0.2, 1.0)
    for side in SIDES:
        ratio = rng.uniform(0.8, 1.2)
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


def _paint_marker(rng: np.random.Generator, anatomy: Anatomy, degrees: Field) -> None:
    """A square of cool paper below the breasts, in place; one patient in six goes without."""
    present = rng.random() < 5 / 6
    centre = np.array([[rng.normal(2.0, 14.0), rng.uniform(408.0, 445.0)]])
    half, turn = rng.uniform(21.0, 33.0) * np.sqrt(2.0), np.pi / 4 + rng.normal(0.0, 0.1)
    corners = centre + half * np.stack(
        [np.cos(turn + np.arange(4) * np.pi / 2), np.sin(turn + np.arange(4) * np.pi / 2)], 1
    )
    cool = float(rng.uniform(23.0, 28.0))
    if present:
        paper = fill(anatomy.camera.place(corners)) & ~(anatomy.masks["left_breast"] | anatomy.masks["right_breast"])
        soft = _blurred(paper, 1.0)
        degrees += (np.float32(cool) - degrees) * soft


def draw_skin(rng: np.random.Generator, anatomy: Anatomy) -> Skin:
    """The temperatures of one torso, drawn from a generator, with its highest one where a real frame has it."""
    degrees = 33.0 + _texture(rng, 110, rng.uniform(0.08, 0.2)) + _texture(rng, 28, rng.uniform(0.03, 0.07))
    degrees = degrees.astype(np.float32)
    _paint_trunk(rng, degrees, anatomy)
    coolness = float(rng.uniform(1.8, 4.0))
    for side in SIDES:
        _paint_breast(rng, degrees, anatomy, side, coolness)
    _paint_nipples(rng, degrees, anatomy)
    degrees += _paint_vessels(rng, anatomy)
    _balance_breasts(degrees, anatomy, float(rng.uniform(-0.45, 0.45)))
    # Skin that turns away from the camera looks cooler.
    edge = cv2.distanceTransform(anatomy.body, cv2.DIST_L2, 3)
    degrees -= np.float32(rng.uniform(0.6, 2.0)) * np.exp(-edge / np.float32(rng.uniform(6.0, 14.0)))
    _paint_marker(rng, anatomy, degrees)
    down = np.linspace(-0.5, 0.5, FRAME_HEIGHT, dtype=np.float32)[:, None]
    background = 21.0 + rng.normal(0.0, 0.5) + rng.normal(0.0, 0.3) * down + _texture(rng, 96, 0.08)
    focus = float(rng.uniform(0.7, 1.4))
    return Skin(
        degrees=np.asarray(cv2.GaussianBlur(degrees, (0, 0), focus), dtype=np.float32),
        background=background.astype(np.float32),
        flesh=_blurred(anatomy.body, focus),
        maximum=float(np.clip(rng.normal(34.6, 0.8), 32.6, 37.0)),
        cooling=float(rng.uniform(-0.01, 0.03)),
        noise=float(rng.uniform(0.03, 0.08)),
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
