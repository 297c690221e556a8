"""Pictures that somebody drew and no camera took: masks, logos, colour bars."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FEW = 16  # colours: more regions are on no mask, and each frame has more levels
MASKS = f"pictures of at most {_FEW} colours, such as masks and labels"
FLAT = "pictures in flat colours, such as logos and colour bars (one whose name ends in _snap is a heat map)"

# A logo's few colours are each alone: what lies between them is on its edges only. Those of a heat map pass into each
# other. Of logos in JPEG 0.82 to 0.97 of what is beside the ground is alone, where strokes are not thin; of real frames
# in 32 palettes 0.37 at most, saturated ones and cut out bodies included, 0.79 in palettes of eight steps.
_PIXELS = 4000
_ALONE = 0.8
_CLOSE, _NEAR = 8, 32  # levels in each channel: one colour after JPEG, and what is still none other's
_BETWEEN = 0.15  # pixels near a colour that is alone, for each one of that colour
_COLOURS = 2  # of a logo beside its ground: heat maps in a palette of steps have more
_BIN = 16
_SAME, _RAMP = 12, 30  # levels: how far a bar differs along its stripes, and at least across them

Pixels = NDArray[np.uint8]
"""uint8 [H, W, 3] (RGB)."""


def is_mask(pixels: Pixels) -> bool:
    """Whether a picture without loss has several colours but hardly more than regions have."""
    some = pixels[::2, ::2].reshape(-1, 3).astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
    return 1 < len(np.unique(some)) <= min(_FEW, some.size // _FEW)


def is_flat(pixels: Pixels) -> bool:
    """Whether a picture in colours is a logo or a colour bar, after JPEG too."""
    return _is_bar(pixels) or _is_logo(pixels)


def _is_bar(pixels: Pixels) -> bool:
    """Whether all rows are alike, or all columns, and not a single colour."""
    for axis in (0, 1):
        stripe = np.median(pixels, axis=axis, keepdims=True)
        along = np.abs(pixels - stripe).max(-1)
        if np.ptp(stripe, axis=1 - axis).max() >= _RAMP and np.percentile(along, 99) < _SAME:
            return True
    return False


def _is_logo(pixels: Pixels) -> bool:
    """Whether nearly all that is beside the commonest colour has one of few others, with nothing between them."""
    found = pixels.reshape(-1, 3).astype(np.int16)
    some = found[np.linspace(0, len(found) - 1, min(_PIXELS, len(found))).astype(int)]
    left, _ = _without_commonest(some, some)
    beside, alone = len(left), 0
    for _ in range(_COLOURS):
        if not len(left):
            break
        rest, is_alone = _without_commonest(left, some)
        alone += (len(left) - len(rest)) * is_alone
        left = rest
    return beside > 0 and alone >= _ALONE * beside


def _without_commonest(left: NDArray[Any], everything: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Colours [N, 3] without the commonest one, and whether it is alone among all of them."""
    _, place, counts = np.unique(left // _BIN @ np.array([1, 1 << 5, 1 << 10]), return_inverse=True, return_counts=True)
    colour = np.median(left[place == counts.argmax()], axis=0)
    distance = np.abs(everything - colour).max(1)
    same = int((distance <= _CLOSE).sum())
    near = int((distance <= _NEAR).sum()) - same
    return left[np.abs(left - colour).max(1) > _CLOSE], near < _BETWEEN * same
