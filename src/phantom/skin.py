"""How warm a drawn torso's skin is: breasts, folds, vessels, nipples, and what fools a network that knows no anatomy.

Warmth is in shares of the frame's range, about .7 for skin and 0 for a cold room. Every bound here is ours, wide enough
that patients fall inside.
"""

import cv2
import numpy as np

from src.phantom.draws import Draws
from src.phantom.shape import CLASSES, HEIGHT, WIDTH, Field, Mask, Shape, Side


def noise(rng: np.random.Generator, sigma: float) -> Field:
    """Smooth noise of mean 0 and spread 1, as smooth as white noise blurred with a Gaussian of `sigma` pixels.

    Of `Draws` the spread is their variety: veins and blotches fade with what else torsos differ in.
    """
    shrink = max(1.0, sigma / 1.6)
    rows, columns = int(np.ceil(HEIGHT / shrink)) + 6, int(np.ceil(WIDTH / shrink)) + 6
    small = cv2.GaussianBlur(rng.standard_normal((rows, columns), np.float32), (0, 0), sigma / shrink)
    large = cv2.resize(small, (round(columns * shrink), round(rows * shrink)), interpolation=cv2.INTER_CUBIC)
    field = large[2 : HEIGHT + 2, 2 : WIDTH + 2]
    spread = rng.variety if isinstance(rng, Draws) else 1.0
    return np.asarray(np.float32(spread) * (field - field.mean()) / (field.std() + 1e-6))


def soft(mask: Mask, sigma: float) -> Field:
    """The mask as 0..1 with a soft edge."""
    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma))


def depth(mask: Mask) -> Field:
    """How many pixels each place of a mask lies from its edge; 0 outside."""
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3))


def smoothstep(values: Field, low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth in between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def draw_warmth(rng: np.random.Generator, shape: Shape) -> Field:
    """The warmth of a torso in front of a cold room, [HEIGHT, WIDTH]."""
    uniform, scale = rng.uniform, shape.camera.half
    u, v = shape.camera.torso_coordinates()
    skin = _trunk(rng, u, v)
    for side in shape.sides:
        if side.has_breast:
            continue
        _scar(rng, skin, side)
    _breasts(rng, skin, shape, u, v)
    if rng.random() < 0.85:
        _vessels(rng, skin, shape)
    _armpits_and_neck(rng, skin, shape, u, v)
    _nipples(rng, skin, shape)
    if rng.random() < 0.15:
        _spots(rng, skin)
    # Skin that turns away from the camera is cooler: the rim of body and arms.
    edge = depth(shape.body | shape.head) / scale
    skin -= uniform(0.02, 0.25) * np.exp(-edge / uniform(0.02, 0.10))
    _arm_edges(rng, skin, shape)
    return _in_front_of_room(rng, skin, shape)


def _trunk(rng: np.random.Generator, u: Field, v: Field) -> Field:
    uniform = rng.uniform
    skin = 0.72 + uniform(0.01, 0.06) * noise(rng, uniform(9, 24)) + uniform(0, 0.025) * noise(rng, uniform(2, 6))
    skin += v * uniform(-0.06, 0.03) + np.abs(u) * uniform(-0.10, 0.02)
    strength = uniform(-0.02, 0.12)
    midline = np.exp(-(((u - rng.normal(0, 0.03)) / uniform(0.05, 0.2)) ** 2))
    skin += strength * midline * smoothstep(v, -0.5, 0.2)
    if rng.random() < 0.4:  # belly folds, which are no breasts: warm creases with cool bulges above
        for _ in range(rng.integers(1, 4)):
            crease = v - rng.uniform(1.25, 2.4) - rng.normal(0, 0.12) * u - rng.normal(0.0, 0.12) * u * u
            strength = uniform(0.02, 0.16)
            line = np.exp(-((crease / uniform(0.015, 0.06)) ** 2))
            skin += strength * line * (np.abs(u) < uniform(0.6, 1.2))
            skin -= uniform(0, 0.14) * np.exp(-(((crease + 0.2) / 0.16) ** 2))
    if rng.random() < 0.3:  # navel
        where = np.hypot(u - rng.normal(0, 0.03), v - uniform(1.9, 2.5)) / uniform(0.03, 0.08)
        skin += uniform(-0.1, 0.2) * np.exp(-(where**2))
    if rng.random() < 0.12:  # ribs
        ribs = np.sin(v * uniform(18, 40) + np.abs(u) * uniform(2, 8)) * np.exp(-(((np.abs(u) - 0.5) / 0.4) ** 2))
        skin += uniform(0.005, 0.03) * ribs * (v > 0)
    return skin.astype(np.float32)


def _breasts(rng: np.random.Generator, skin: Field, shape: Shape, u: Field, v: Field) -> None:
    """Breasts cool towards their lower part, warm folds below and between them."""
    uniform, scale = rng.uniform, shape.camera.half
    cool, edge = uniform(-0.03, 0.30) * uniform(0.3, 1), uniform(0, 0.10)
    fold, width, reach = uniform(0.0, 0.26), uniform(0.02, 0.09), uniform(0.06, 0.3)
    begin, round_off, inward = uniform(-1.0, 0.2), uniform(0.03, 0.25), uniform(0.2, 0.9)
    down = np.mgrid[:HEIGHT, :WIDTH][0].astype(np.float32)
    all_breasts = np.zeros((HEIGHT, WIDTH), bool)
    for side in shape.sides:
        if not side.has_breast:
            continue
        all_breasts |= side.dome
        v_breast = (down - side.centre[1]) / side.size[1]  # -1 at its upper edge, 1 at the fold
        inside = depth(side.dome) / scale
        lower = smoothstep(v_breast, begin - 0.6, begin + uniform(0.5, 1.3))
        dome = 1 - np.exp(-inside / round_off)
        skin -= soft(side.dome, 0.7) * lower * (cool * uniform(0.75, 1.25) * dome + edge)
        outside = depth(~side.dome) / scale
        inner = np.clip(-(u * side.side - 0.5) * 2, 0, 1)
        below = smoothstep(v_breast, -0.1, 0.6)
        glow = np.exp(-((outside / width) ** 2)) * (below + inward * inner * smoothstep(v_breast, -0.7, 0.4)).clip(0, 1)
        skin += (~side.dome) * fold * uniform(0.8, 1.2) * glow
        skin += (~side.dome) * 0.4 * fold * np.exp(-outside / reach) * below * (0.3 + 0.7 * inner)
        if side.droop > 0.5 and rng.random() < 0.7:  # a shadow line inside, where the breast lies on the belly
            skin += side.dome * uniform(-0.08, 0.03) * np.exp(-((inside / 0.04) ** 2)) * below
        if rng.random() < 0.35:
            skin += soft(side.dome, 2) * uniform(0.0, 0.06) * noise(rng, uniform(3, 8))
        if rng.random() < 0.08:  # one side inflamed
            skin += soft(side.dome, 3) * uniform(-0.05, 0.12)
        if rng.random() < 0.03:  # or blotched, as after radiation
            skin += soft(side.dome, 2) * uniform(0.02, 0.12) * noise(rng, uniform(1.5, 6))
    if rng.random() < 0.25:  # the whole belly is warmer than the breasts, or cooler
        skin += uniform(-0.06, 0.08) * ~all_breasts * smoothstep(v, 0.8, 1.1)


def _scar(rng: np.random.Generator, skin: Field, side: Side) -> None:
    """The line that surgery left where a breast was."""
    inside = depth(side.breast)
    low, high = np.quantile(inside, (0.0, 1.0))
    line = np.zeros((HEIGHT, WIDTH), np.uint8)
    x, y = side.centre
    across = np.array([[x - side.size[0] * 0.7, y + rng.normal(0, 6)], [x + side.size[0] * 0.7, y + rng.normal(0, 6)]])
    cv2.polylines(line, [np.round(across * 16).astype(np.int32)], False, 1, 1, cv2.LINE_8, 4)
    skin += rng.uniform(-0.15, 0.1) * soft(line.astype(bool), rng.uniform(0.5, 1.5)) * 3
    skin += rng.uniform(-0.1, 0.1) * inside / max(float(high - low), 1.0) * soft(side.breast, 4)


def _vessels(rng: np.random.Generator, skin: Field, shape: Shape) -> None:
    """Ridges of smooth noise: veins, here and there, most on breasts and chest."""
    uniform = rng.uniform
    breasts = np.zeros((HEIGHT, WIDTH), bool)
    for side in shape.sides:
        if rng.random() < 0.75:
            breasts |= side.breast
    for _ in range(rng.integers(1, 4)):
        field = noise(rng, uniform(2.5, 8))
        ridge = np.exp(-np.abs(field) / uniform(0.05, 0.25))
        ridge *= np.clip(uniform(0, 0.6) + noise(rng, uniform(7, 20)), 0, 1.6)
        if rng.random() < 0.6:
            ridge *= 0.15 + soft(breasts, 3)
        skin += uniform(0.01, 0.14) * cv2.GaussianBlur(ridge, (0, 0), uniform(0.4, 1.0))


def _armpits_and_neck(rng: np.random.Generator, skin: Field, shape: Shape, u: Field, v: Field) -> None:
    """Hollows keep warm; the folds before and behind an armpit do not always."""
    uniform = rng.uniform
    for side in shape.sides:
        hollow = soft(side.armpit, uniform(1.5, 5))
        skin += uniform(-0.04, 0.12) * hollow
        middle = np.abs(depth(side.armpit) - uniform(2, 5))
        skin += uniform(-0.02, 0.10) * np.exp(-((middle / uniform(1, 3)) ** 2)) * hollow
    skin += uniform(-0.04, 0.12) * soft(shape.neck, uniform(1, 6))
    if rng.random() < 0.5:  # collar bones, and the notch between them
        bone = v + 0.12 + np.abs(u) * uniform(0.05, 0.35)
        skin += uniform(-0.05, 0.06) * np.exp(-((bone / 0.035) ** 2)) * (np.abs(u) < 0.8)
        skin += uniform(0, 0.1) * np.exp(-((u / 0.08) ** 2) - ((v + 0.12) / 0.07) ** 2)
    if rng.random() < 0.08:  # necklace
        chain = np.abs(v + 0.1 - 1.5 * u * u + uniform(-0.15, 0.15))
        skin -= uniform(0.05, 0.4) * np.exp(-((chain / 0.02) ** 2)) * (np.abs(u) < 0.45) * (v < 0.4)


def _nipples(rng: np.random.Generator, skin: Field, shape: Shape) -> None:
    """A small cold or warm point in an areola that differs little.

    One that cannot be told from the skin around it is no region: its label is taken away.
    """
    uniform, scale = rng.uniform, shape.camera.half
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    strength = -uniform(0.04, 0.35) if rng.random() < 0.78 else uniform(0.04, 0.3)
    radius, areola, ring = uniform(0.02, 0.055), uniform(0.06, 0.12), uniform(-0.07, 0.07) * (rng.random() < 0.7)
    both_even = rng.random() < 0.08
    for side in shape.sides:
        if side.nipple is None:
            continue
        row, column = round(side.nipple[1]), round(side.nipple[0])
        around = skin[max(row - 6, 0) : row + 7, max(column - 6, 0) : column + 7]
        own = strength * uniform(0.6, 1.3)
        is_even = both_even or rng.random() < 0.05
        # Veins of the same strength hide it, also from whoever annotates.
        if is_even or abs(own) < 0.015 + 0.8 * around.std():
            unseen = shape.labels == CLASSES.index("left_nipple" if side.side < 0 else "right_nipple")
            shape.labels[unseen] = CLASSES.index("left_breast" if side.side < 0 else "right_breast")
        if is_even:
            continue
        away = np.hypot(x - side.nipple[0], (y - side.nipple[1]) * uniform(0.85, 1.15)) / scale
        skin += own * np.exp(-((away / (radius * uniform(0.85, 1.2))) ** 2))
        skin += ring * np.exp(-((away / areola) ** 4))


def _spots(rng: np.random.Generator, skin: Field) -> None:
    """Moles, drops of sweat and scars: points that are no nipples."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for _ in range(rng.integers(1, 14)):
        away = np.hypot(x - rng.uniform(0, WIDTH), y - rng.uniform(0, HEIGHT)) / rng.uniform(0.5, 2.0)
        skin += rng.uniform(-0.15, 0.12) * np.exp(-(away**2))


def _arm_edges(rng: np.random.Generator, skin: Field, shape: Shape) -> None:
    """An arm before or behind the chest has an edge of its own."""
    for side in shape.sides:
        if rng.random() < 0.5:
            near = np.abs(depth(side.arm) - 0.5)
            line = np.exp(-((near / rng.uniform(0.7, 2)) ** 2)) * ~side.breast
            skin += rng.uniform(-0.06, 0.05) * line * side.arm
        skin += rng.uniform(-0.06, 0.04) * soft(side.arm & ~side.breast, 3)


def _in_front_of_room(rng: np.random.Generator, skin: Field, shape: Shape) -> Field:
    uniform = rng.uniform
    face = 0.62 + uniform(-0.25, 0.15) + 0.07 * noise(rng, uniform(2, 5))
    head = soft(shape.head, uniform(0.4, 0.9))
    skin = skin * (1 - head) + face * head
    warm = soft(shape.body | shape.head, uniform(0.3, 0.9))
    room = uniform(0.0, 0.2) + uniform(0, 0.012) * noise(rng, 15)
    if rng.random() < 0.06:  # a room nearly as warm as the skin
        room += uniform(0.1, 0.35)
    return np.asarray(room + (skin - room) * warm, np.float32)
