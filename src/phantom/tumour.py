"""A phantom's tumour: where it lies, and the warm spot above it."""

from dataclasses import dataclass

import numpy as np

from src.errors import UserError
from src.phantom.outlines import FRAME_HEIGHT, FRAME_WIDTH, SCALE, Frame
from src.phantom.shape import CLASSES, Shape
from src.phantom.skin import depth as distance_inside

SIDES = ("left", "right")
# Rise (C) and full width at half maximum (mm) of the warm spot, rows by diameter (mm), columns by depth (mm) from the
# skin to the tumour's top: rise and width by depth and diameter as tabulated, from the project's bio-heat figures.
# The last column of the first and third row continues theirs: the rise on a log scale, the width on a linear one.
DEPTHS = (5.0, 10.0, 15.0, 20.0)
DIAMETERS = (10.0, 20.0, 30.0)
RISES = ((0.76, 0.27, 0.12, 0.12**2 / 0.27), (0.89, 0.30, 0.12, 0.04), (1.08, 0.38, 0.15, 0.15**2 / 0.38))
WIDTHS = ((19.0, 27.0, 33.0, 39.0), (25.0, 31.0, 37.0, 41.0), (27.0, 33.0, 39.0, 45.0))
SCATTER = 33.0  # px: standard deviation of its place, in each direction, at full variety
HALF_CHEST = 163.0  # mm: half the chest's width at the breasts


@dataclass(frozen=True)
class Tumour:
    """A tumour and the warm spot above it: centre in pixels of frame 00, lengths in mm, rise in C."""

    side: str
    x: float
    y: float
    depth_mm: float
    diameter_mm: float
    rise_c: float
    fwhm_mm: float


def tumour_spot(depth: float, diameter: float) -> tuple[float, float]:
    """Rise (C) and FWHM (mm) of the warm spot above a tumour; raises UserError outside the tabulated range.

    Between the tabulated depths and diameters the logarithm of the rise and the width are interpolated linearly.
    """
    if not (DEPTHS[0] <= depth <= DEPTHS[-1] and DIAMETERS[0] <= diameter <= DIAMETERS[-1]):
        raise UserError(
            f"a tumour {depth:g} mm deep of {diameter:g} mm diameter is outside the tabulated "
            f"{DEPTHS[0]:g} to {DEPTHS[-1]:g} mm and {DIAMETERS[0]:g} to {DIAMETERS[-1]:g} mm"
        )
    log_rises = [np.interp(depth, DEPTHS, np.log(row)) for row in RISES]
    widths = [np.interp(depth, DEPTHS, row) for row in WIDTHS]
    return float(np.exp(np.interp(diameter, DIAMETERS, log_rises))), float(np.interp(diameter, DIAMETERS, widths))


def draw_tumour(
    rng: np.random.Generator,
    shape: Shape,
    depth: tuple[float, float],
    diameter: tuple[float, float],
    variety: float = 1.0,
    anywhere: bool = False,
) -> Tumour:
    """A tumour well inside what stands out of one breast: around its upper outer quadrant, or `anywhere`.

    Raises ValueError for a torso without breasts.
    """
    depth_mm, diameter_mm = float(rng.uniform(*depth)), float(rng.uniform(*diameter))
    rise, fwhm = tumour_spot(depth_mm, diameter_mm)
    inside = [_inside(shape, number) for number in range(2)]
    number = int(rng.integers(2))
    number = number if inside[number].any() else 1 - number
    if not inside[number].any():
        raise ValueError("this torso has no breast")
    rows, columns = np.nonzero(inside[number] >= 0.3 * inside[number].max())
    if anywhere:
        chosen = int(rng.integers(len(rows)))
    else:
        scatter = variety * SCATTER / SCALE
        x = columns.min() + (0.38, 0.62)[number] * np.ptp(columns) + rng.normal(0.0, scatter)
        y = rows.min() + 0.3 * np.ptp(rows) + rng.normal(0.0, scatter)
        chosen = int(np.argmin((columns - x) ** 2 + (rows - y) ** 2))
    x, y = ((place[chosen] + 0.5) * SCALE - 0.5 for place in (columns, rows))
    return Tumour(SIDES[number], float(x), float(y), depth_mm, diameter_mm, rise, fwhm)


def _inside(shape: Shape, number: int) -> Frame:
    """How far inside what stands out of a breast each pixel [120, 160] of it is; 0 elsewhere."""
    own = [CLASSES.index(f"{SIDES[number]}_{part}") for part in ("breast", "nipple")]
    return distance_inside(shape.sides[number].dome & np.isin(shape.labels, own))


def warm_spot(tumour: Tumour, px_per_mm: float) -> Frame:
    """The Gaussian rise [480, 640] in C above a tumour."""
    sigma = tumour.fwhm_mm * px_per_mm / (2.0 * np.sqrt(2.0 * np.log(2.0)))
    down = np.exp(-0.5 * ((np.arange(FRAME_HEIGHT) - tumour.y) / sigma) ** 2)
    across = np.exp(-0.5 * ((np.arange(FRAME_WIDTH) - tumour.x) / sigma) ** 2)
    return np.asarray(tumour.rise_c * down[:, None] * across[None, :], dtype=np.float32)
