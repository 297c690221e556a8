"""Draws the outlines of a torso: body, head, breasts, nipples, armpits and neck, as polygons in a frame.

How far regions reach is a convention of annotation: the middle values below are medians over the extents of 18
annotated frames of the database (breasts reach up onto the chest and sideways to the body's edge, armpits down along
it), the ranges are ours and far wider.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from src.phantom.shape import (
    BACKGROUND,
    CLASSES,
    HEIGHT,
    SIDES,
    WIDTH,
    Camera,
    Mask,
    Points,
    Shape,
    Side,
    closed_curve,
    fill,
)


def draw_camera(rng: np.random.Generator) -> Camera:
    """A camera at a metre or so, seldom centred, sometimes far away or too close."""
    half = float(np.clip(rng.normal(53, 8), 30, 76))
    origin = (WIDTH / 2 + rng.normal(0, 7), 35 + rng.normal(0, 10) - 0.25 * (half - 53))
    return Camera(half, origin, np.deg2rad(rng.normal(0, 3.5)), rng.normal(0, 0.05), float(np.exp(rng.normal(0, 0.05))))


@dataclass(frozen=True)
class Traits:
    """What both sides of a torso share; each side then differs a little."""

    height: float  # of the breasts, from their upper edge on the chest to the fold
    droop: float  # 0 for a breast that stands, 1 for one that hangs
    gap: float
    spread: float  # how far the lower inner edge is from the midline
    waist: float
    shoulder: float  # height of the shoulders
    asymmetry: float
    dome: tuple[float, float]
    """How far what stands out as a breast stays below the region's upper edge, and outside its inner one."""
    arms: str  # raised, hips or down


def draw_traits(rng: np.random.Generator) -> Traits:
    """From thin to obese, from flat to large and pendulous breasts."""
    droop = float(np.clip(rng.beta(1.6, 1.6), 0.02, 1))
    height = float(np.clip(rng.normal(1.12 + 0.24 * droop, 0.13), 0.72, 1.8))
    arms = rng.choice(["raised", "hips", "down"], p=[0.86, 0.06, 0.08])
    return Traits(
        height,
        droop,
        gap=float(rng.uniform(-0.02, 0.03)),
        spread=float(np.clip(rng.normal(0.17, 0.05), 0.04, 0.34)),
        waist=float(rng.uniform(0.74, 1.12)),
        shoulder=float(rng.uniform(-0.62, -0.3)),
        asymmetry=float(abs(rng.normal(0, 0.05)) + (rng.random() < 0.12) * rng.uniform(0.05, 0.3)),
        dome=(float(rng.uniform(0, 0.42)), float(rng.uniform(0, 0.34))),
        arms=str(arms),
    )


def draw_shape(rng: np.random.Generator) -> Shape:
    """One torso's outlines; the same generator state gives the same torso."""
    camera, traits = draw_camera(rng), draw_traits(rng)
    smaller = rng.choice(SIDES)  # of two unequal breasts
    lost = rng.choice(SIDES) if rng.random() < 0.03 else 0
    drawn = [_draw_side(rng, camera, traits, side, side == smaller, side == lost) for side in SIDES]
    trunk, neck, head = _draw_middle(rng, camera, traits)
    body = trunk.copy()
    for side in drawn:
        body |= side.arm
        body |= side.breast if side.has_breast else False
    body = _rounded(body, camera.half * 0.05)
    neck &= body & ~head
    labels = np.full((HEIGHT, WIDTH), BACKGROUND, np.uint8)
    for number, side in enumerate(drawn):
        if side.has_breast:
            labels[side.breast & body] = CLASSES.index("left_breast") + number
    for number, side in enumerate(drawn):
        if side.nipple_label is not None:
            labels[side.nipple_label & body] = CLASSES.index("left_nipple") + number
    away = _away_from_edges(rng)
    for number, side in enumerate(drawn):
        labels[side.armpit & body & away] = CLASSES.index("left_armpit") + number
    labels[neck] = CLASSES.index("neck")
    return Shape(camera, (drawn[0], drawn[1]), body, head, neck, labels)


def _away_from_edges(rng: np.random.Generator) -> Mask:
    """Where armpits are drawn: annotators leave a rim of about a twentieth free above, where the frame cuts the arm.

    In 15 of the 18 frames they begin 23 to 31 of 480 pixels below the upper edge, in none nearer than 15; sideways 12
    or more of 640 pixels from the edge. Necks reach the edge.
    """
    mask = np.zeros((HEIGHT, WIDTH), bool)
    across = round(rng.uniform(2.5, 5))
    mask[round(rng.uniform(5.5, 7.5)) :, across : WIDTH - across] = True
    return mask


def _rounded(mask: Mask, radius: float) -> Mask:
    """The mask with its corners rounded as flesh rounds them."""
    edge = 8
    padded = cv2.copyMakeBorder(mask.astype(np.float32), edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(padded, (0, 0), radius)[edge:-edge, edge:-edge] > 0.5)


def _draw_side(
    rng: np.random.Generator, camera: Camera, traits: Traits, side: int, is_smaller: bool, is_lost: bool
) -> Side:
    shrink = 1 - traits.asymmetry * is_smaller
    height = traits.height * shrink * rng.uniform(0.97, 1.03)
    top, droop = rng.normal(0, 0.03), float(np.clip(traits.droop + rng.normal(0, 0.08), 0, 1))
    outline = _breast_outline(rng, traits, height, droop, top, shrink)
    breast = fill(camera.place(closed_curve(outline), side))
    dome = fill(camera.place(closed_curve(_dome(rng, traits, outline)), side)) & breast
    tip = np.array([rng.normal(0.94, 0.05), top + height * rng.normal(0.38, 0.07)])
    arm, armpit = _arm(rng, traits, tip)
    # The nipple lies low and outward, in a hanging breast lower still.
    low = rng.normal(0.61, 0.05) + droop * rng.uniform(0, 0.33)
    place = np.array([min(rng.normal(0.74, 0.11), 1.0), top + height * min(low, 0.95)])
    is_gone = is_lost or rng.random() < 0.03
    radius = np.clip(rng.normal(0.12, 0.014), 0.08, 0.17)
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    disc = place + radius * np.stack([np.cos(angle), np.sin(angle) * rng.uniform(0.85, 1.1)], 1)
    middle = np.array([[(outline[:, 0].min() + outline[:, 0].max()) / 2, top + height / 2], place])
    (centre, nipple) = camera.place(middle.astype(np.float32), side)
    x, y = nipple
    is_seen = not is_gone and 0 <= x < WIDTH and 0 <= y < HEIGHT
    return Side(
        side,
        breast,
        dome,
        not is_lost,
        (float(centre[0]), float(centre[1])),
        (float(np.ptp(outline[:, 0]) / 2 * camera.half), float(height / 2 * camera.half)),
        droop,
        (float(x), float(y)) if is_seen else None,
        fill(camera.place(disc.astype(np.float32), side)) if is_seen else None,
        fill(camera.place(closed_curve(armpit.astype(np.float32), 5), side)),
        fill(camera.place(closed_curve(arm.astype(np.float32), 5), side)),
    )


def _breast_outline(
    rng: np.random.Generator, traits: Traits, height: float, droop: float, top: float, shrink: float
) -> Points:
    """Control points (u, y) [10, 2], from the upper inner corner over the top and the outer edge to the fold."""
    gap, spread = traits.gap + rng.uniform(0, 0.03), traits.spread * rng.uniform(0.8, 1.2) * (0.6 + 0.8 * droop)
    bulge = rng.normal(0.0, 0.03) + 0.10 * max(0.0, height - 1.1)
    lowest = rng.normal(0.65, 0.05) + 0.05 * droop
    points = np.array(
        [
            [gap + 0.09, 0.10],
            [rng.normal(0.37, 0.06), 0.0],
            [rng.normal(0.70, 0.04), 0.07],
            [0.92, 0.34],
            [1.0 + bulge, 0.62],
            [0.93 + bulge + 0.02 * droop, 0.87],
            [lowest, 1.0],
            [0.34 + 0.3 * spread, 0.95 - 0.03 * droop],
            [gap + 0.45 * spread + 0.05, 0.80 - 0.06 * droop],
            [gap + 0.01, 0.48],
        ],
        np.float32,
    )
    points += rng.normal(0, 0.017, points.shape)
    centre = np.array([0.5, 0.5], np.float32)
    points[:, 0] = centre[0] + (points[:, 0] - centre[0]) * (0.5 + 0.5 * shrink)
    points[:, 1] = top + points[:, 1] * height
    return points


def _dome(rng: np.random.Generator, traits: Traits, outline: Points) -> Points:
    """Control points (u, y) [10, 2] of what stands out as a breast: the outline without chest above and inside it."""
    high, inside = (share * rng.uniform(0.8, 1.2) for share in traits.dome)
    dome = outline.copy()
    height = np.ptp(outline[:, 1])
    dome[[0, 1, 2], 1] += np.array([1.2, 1.0, 0.8], np.float32) * high * height
    dome[[0, 9, 8], 0] += np.array([1.2, 1.0, 0.5], np.float32) * inside
    dome[9, 1] += 0.3 * high * height
    dome[3, 1] = max(dome[3, 1], dome[2, 1] + 0.08 * height)
    return dome


def _arm(rng: np.random.Generator, traits: Traits, tip: NDArray[np.float64]) -> tuple[Points, Points]:
    """Outlines (u, y) of an arm and of its armpit, whose lower end is `tip`."""
    normal = rng.normal
    corner = _from(tip, normal(0.07, 0.03), -abs(normal(0.12, 0.06)))  # where the arm leaves the chest
    shoulder = np.array([0.42, traits.shoulder - 0.02])
    if traits.arms == "raised":
        angle, thick = np.deg2rad(np.clip(normal(48, 20), 0, 88)), np.clip(normal(0.56, 0.08), 0.38, 0.85)
        along = np.array([np.cos(angle), -np.sin(angle)])
        across = np.array([-np.sin(angle), -np.cos(angle)])
        bend = np.deg2rad(normal(0, 25) + (rng.random() < 0.25) * 70)  # the elbow, towards the head
        fore = np.array([np.cos(angle + bend), -np.sin(angle + bend)])
        elbow = corner + along * rng.uniform(1.1, 1.7)
        out = elbow + fore * 2
        arm = [[0.5, corner[1] + 0.45], _from(corner, -0.03, 0.2), corner + along * 0.02, corner + along * 0.5, elbow]
        arm += [out, out + across * thick * 0.7, elbow + across * thick * 0.85 - along * 0.1]
        arm += [corner + along * 0.45 + across * thick * rng.uniform(0.95, 1.2), shoulder, [0.2, traits.shoulder + 0.4]]
        reach = rng.uniform(0.42, 0.72)
        outer = [corner + along * 0.16 + across * 0.02, corner + along * reach + across * 0.02]
        top = [tip[0] + normal(-0.1, 0.09) + 0.14 * np.cos(angle), tip[1] - rng.normal(1.15, 0.12)]
    else:
        sideways = normal(0.05, 0.05) + (traits.arms == "hips") * rng.uniform(0.35, 0.7)
        out = _from(corner, sideways, rng.uniform(0.7, 1.1))
        thick = np.clip(normal(0.38, 0.05), 0.25, 0.55)
        end = _from(out, *((-0.6, 0.5) if traits.arms == "hips" else (normal(0, 0.08), 1.4)))
        arm = [
            [0.5, corner[1] + 0.3],
            _from(corner, -0.02, 0.1),
            _from(corner, 0.02, 0.02),
            out,
            end,
            _from(end, thick, 0.1),
        ]
        arm += [_from(out, thick, 0.0), _from(corner, thick + 0.12, -0.25), _from(shoulder, 0.3, 0.02), shoulder]
        outer = [_from(corner, 0.06, -0.06), _from(corner, 0.12, -0.25)]
        top = [tip[0] + normal(0.02, 0.05), tip[1] - normal(0.72, 0.08)]
    inner = [normal(0.60, 0.05), tip[1] - rng.uniform(0.5, 0.75)]
    if traits.arms != "raised":
        inner = [tip[0] - abs(normal(0.16, 0.04)), tip[1] - rng.uniform(0.35, 0.55)]
    low = [(inner[0] + tip[0]) / 2 + normal(0.03, 0.02), tip[1] - rng.normal(0.22, 0.04)]
    return np.array(arm, np.float32), np.array([tip, *outer, top, inner, low], np.float32)


def _from(point: NDArray[np.float64], u: float, y: float) -> NDArray[np.float64]:
    """A point so far outward and down from another one."""
    return np.asarray(point + np.array([u, y]))


def _draw_middle(rng: np.random.Generator, camera: Camera, traits: Traits) -> tuple[Mask, Mask, Mask]:
    """Masks of the trunk with its neck, of the neck's region, and of the head."""
    uniform, normal = rng.uniform, rng.normal
    chest, waist = normal(0.99, 0.03), traits.waist
    half = [[-0.1, traits.shoulder - 0.1], [0.3, traits.shoulder - 0.08], [0.8, traits.shoulder + 0.16]]
    half += [[chest, 0.3], [chest, 0.8], [(chest + waist) / 2 + 0.02, traits.height + 0.2]]
    half += [[waist, traits.height + 0.55]]
    half += [[waist * uniform(0.95, 1.15), traits.height + 1.5], [-0.1, traits.height + 1.5]]
    trunk = np.zeros((HEIGHT, WIDTH), bool)
    for side in SIDES:
        trunk |= fill(camera.place(np.array(half, np.float32), side))
    wide, chin = np.clip(normal(0.28, 0.035), 0.18, 0.4), traits.shoulder - uniform(0.02, 0.5)
    base = np.clip(normal(0.46, 0.05), 0.3, 0.62)
    end = min(normal(-0.10, 0.06), 0.05)
    corner = traits.shoulder * 0.45 + normal(-0.04, 0.05)
    throat = [[0, chin - 0.6], [wide * 0.9, chin - 0.5], [wide, chin], [wide * 1.05, corner - 0.15], [base, corner]]
    throat += [[base * 0.55, end - 0.07], [0, end]]
    shown = [[0, chin], [wide * uniform(0.9, 1.05), chin - 0.03], *throat[3:]]
    neck, column = np.zeros((HEIGHT, WIDTH), bool), np.zeros((HEIGHT, WIDTH), bool)
    for side in SIDES:
        column |= fill(camera.place(np.array(throat, np.float32), side))
        neck |= fill(camera.place(np.array(shown, np.float32), side))
    trunk |= column
    head = np.zeros((HEIGHT, WIDTH), np.uint8)
    long, broad = uniform(0.42, 0.6), wide * uniform(1.05, 1.45)
    ((x, y),) = camera.place(np.array([[normal(0, 0.04), chin + 0.06 - long]], np.float32), 1)
    axes = (round(broad * camera.half), round(long * camera.half))
    cv2.ellipse(head, (round(float(x)), round(float(y))), axes, float(np.rad2deg(camera.tilt)), 0, 360, 1, -1)
    return trunk, neck, head.astype(bool)
