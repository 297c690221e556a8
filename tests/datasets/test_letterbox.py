"""Geometry both ways, for any sizes."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from src.datasets.letterbox import letterbox, resized

lengths = st.integers(1, 700)
sizes = st.tuples(lengths, lengths)
frames = st.sampled_from([(120, 160), (480, 640), (60, 80), (33, 47)])


@given(sizes, frames)
def test_content_lies_inside_touches_two_sides_and_keeps_the_aspect(original: tuple[int, int], frame: tuple) -> None:
    box = letterbox(original, frame)
    rows, columns = box.inside
    assert 0 <= rows.start < rows.stop <= frame[0]
    assert 0 <= columns.start < columns.stop <= frame[1]
    assert box.content[0] == frame[0] or box.content[1] == frame[1]
    scale = min(frame[0] / original[0], frame[1] / original[1])
    assert all(abs(c - max(1, o * scale)) <= 0.5 + 1e-9 for c, o in zip(box.content, original, strict=True))
    # In the middle: the two rims differ by one pixel at most.
    assert 0 <= (frame[0] - rows.stop) - rows.start <= 1
    assert 0 <= (frame[1] - columns.stop) - columns.start <= 1


@given(sizes, frames, st.integers(1, 4))
@settings(max_examples=40)
def test_even_frames_stay_even_both_ways(original: tuple[int, int], frame: tuple, channels: int) -> None:
    box = letterbox(original, frame)
    there = box.apply(np.full((*original, channels), 7, np.uint8))
    assert there.shape == (*frame, channels)
    assert (there == 7).all()
    back = box.restore(there.astype(np.float32))
    assert back.shape == (*original, channels)
    np.testing.assert_allclose(back, 7, rtol=1e-5)


@given(frames, st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_frame_of_the_runs_own_size_is_untouched(frame: tuple[int, int], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, frame, np.uint8)
    box = letterbox(frame, frame)
    assert np.array_equal(box.apply(pixels), pixels)
    maps = np.random.default_rng(seed).random((*frame, 3), np.float32)
    assert np.array_equal(box.restore(maps), maps)


@given(st.integers(40, 300), st.integers(40, 300), st.floats(0.2, 0.8), st.floats(0.2, 0.8), frames)
@settings(max_examples=60)
def test_a_ramp_comes_back_to_its_own_pixels(
    rows: int, columns: int, down: float, across: float, frame: tuple[int, int]
) -> None:
    """A plane survives resampling but for its borders, so that every pixel must find its own place again."""
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    plane = down * y + across * x
    box = letterbox((rows, columns), frame)
    back = box.restore(box.apply(plane)[..., None])[..., 0]
    step = max(rows / box.content[0], columns / box.content[1], 1)
    border = int(2 * step) + 1
    assume(min(rows, columns) > 2 * border)
    inner = slice(border, -border)
    # Rounding of the content's size stretches by up to half a pixel of the frame; resampling adds one.
    assert np.abs(back - plane)[inner, inner].max() < 2 * step


def test_the_rest_repeats_the_border() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    there = letterbox((4, 6), (8, 6)).apply(pixels)
    assert np.array_equal(there[2:6], pixels)
    assert (there[:2] == pixels[0]).all()
    assert (there[6:] == pixels[-1]).all()


def test_sizes_are_resized_as_in_training() -> None:
    assert resized(np.zeros((4, 6, 3), np.uint8), (8, 12)).shape == (8, 12, 3)
    with pytest.raises(ValueError, match="0 x 4 pixels"):
        letterbox((0, 4), (8, 8))
