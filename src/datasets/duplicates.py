"""Frames that stand under two patients: the same picture, or one encoded, resized or brightened anew.

A picture that was cropped, mirrored or moved by more than a pixel is another one to this search.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from src.datasets.images import read_image
from src.datasets.source import Frame, Skipped

_SMALL = (72, 96)  # rows, columns that candidates are compared at
_HASH_SIDE = 16
MAX_DISTANCE = 32  # bits of 256 in which a copy's hash differs: up to 16 were seen, between people 40 and more
MIN_CORRELATION = 0.975
"""Of a copy's details with the frame's. Copies were seen at 0.985 and more, frames of different people at 0.46 at most,
phantoms whose torsos hardly differ (`--variety 0.05`) at 0.91."""
_FLAT = 0.2  # gray levels: standard deviation of the details of a frame that shows nothing

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Duplicate:
    """Two frames of different patients that are one picture, and how well their details agree, up to 1."""

    first: Frame
    second: Frame
    correlation: float


def find_duplicates(root: Path, frames: Sequence[Frame], skipped: Skipped) -> list[Duplicate]:
    """The most alike frames of each two patients who share one; frames that cannot be compared are noted.

    A perceptual hash finds candidates, the correlation of their details decides: torsos on a dark ground are so alike
    that hashes of different people can agree.
    """
    kept, small = _read_small(root, frames, skipped)
    if not kept:
        return []
    hashes = np.stack([perceptual_hash(levels) for levels in small])
    patients = np.array([frame.patient for frame in kept])
    detail = cache(lambda place: details(small[place]))
    found: dict[tuple[str, str], Duplicate] = {}
    for one in range(len(kept) - 1):
        distance = np.bitwise_count(hashes[one] ^ hashes[one + 1 :]).sum(axis=1)
        near = (distance <= MAX_DISTANCE) & (patients[one + 1 :] != patients[one])
        for other in (np.flatnonzero(near) + one + 1).tolist():
            correlation = float((detail(one) * detail(other)).mean())
            first, second = sorted((kept[one], kept[other]), key=lambda frame: (frame.patient, frame.path))
            pair = (first.patient, second.patient)
            if correlation >= MIN_CORRELATION and (pair not in found or correlation > found[pair].correlation):
                found[pair] = Duplicate(first, second, correlation)
    return [found[pair] for pair in sorted(found)]


def _read_small(root: Path, frames: Sequence[Frame], skipped: Skipped) -> tuple[list[Frame], list[Levels]]:
    """The frames that can be compared and their gray levels uint8 `_SMALL`."""

    def read(frame: Frame) -> Levels | str:
        try:
            gray = np.asarray(read_image(root / frame.path, _SMALL).convert("L"))
        except ValueError as error:
            return f"not searched for duplicates: {error}"
        small = np.asarray(cv2.resize(gray, _SMALL[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
        return small if _fine(small).std() > _FLAT else "not searched for duplicates: frames that show nothing"

    kept: list[Frame] = []
    levels: list[Levels] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(read, frames)
        bar = tqdm(results, total=len(frames), desc="duplicates", unit="frame", disable=None, leave=False)
        for frame, result in zip(frames, bar, strict=True):
            if isinstance(result, str):
                skipped.add(result, str(frame.path))
            else:
                kept.append(frame)
                levels.append(result)
    return kept, levels


def perceptual_hash(levels: Levels) -> NDArray[np.uint8]:
    """256 bits as uint8 [32]: which of the lowest frequencies of gray levels [H, W] lie above their median."""
    side = 4 * _HASH_SIDE
    square = cv2.resize(levels.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    lowest = cv2.dct(square)[:_HASH_SIDE, :_HASH_SIDE]
    return np.packbits(lowest > np.median(lowest))


def _fine(levels: Levels) -> NDArray[np.float32]:
    values = levels.astype(np.float32)
    return np.asarray(values - cv2.GaussianBlur(values, (0, 0), 1.5), dtype=np.float32)


def details(levels: Levels) -> NDArray[np.float32]:
    """What is finer than a torso in gray levels [H, W], of mean 0 and deviation 1: outlines, vessels, nipples."""
    fine = _fine(levels)
    return np.asarray((fine - fine.mean()) / fine.std(), dtype=np.float32)
