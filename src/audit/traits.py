"""What a patient's frames tell apart from anatomy: when, with what and how they were taken and stored."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from src.datasets.images import read_header, read_image
from src.datasets.matrices import written_numbers
from src.datasets.source import Frame, Skipped
from src.errors import refuse_failing_device

TRAITS = (
    *("year", "patient_number", "frames", "file_size", "jpeg_step", "frame_height", "frame_width", "matrix_decimals"),
    *("gray_mean", "gray_range", "background_level", "border_level", "marker", "sharpness", "palette"),
)
DECODED_FRAMES = 3  # of each patient, evenly spread: a session's frames are alike, and decoding is what takes time
_SMALL = (120, 160)  # rows, columns that gray levels are read at
_MATRIX_BYTES = 4096  # of a temperature matrix: enough numbers to count their decimals

Values = NDArray[np.float64]


def read_traits(root: Path, frames: Sequence[Frame], skipped: Skipped) -> tuple[list[str], dict[str, Values]]:
    """Patients in order, and each trait's value for each of them [N]: the lower median over the patient's frames.

    NaN stands where no frame of a patient has the trait. Headers and file sizes are read of every frame, gray levels
    of at most `DECODED_FRAMES` a patient. A median that some frame really has keeps codes such as years intact.

    - year: of the day the frame was taken
    - patient_number: the last number in the patient's name; databases count on as they grow
    - frames: how many the patient has
    - file_size: bytes; jpeg_step: mean entry of the JPEG quantisation tables; frame_height, frame_width: as stored
    - matrix_decimals: digits after the point in the temperature matrix beside the frame
    - gray_mean, gray_range (2nd to 98th percentile) and what follows it in `TRAITS`: `pixel_traits`
    """
    of_patient: dict[str, list[Frame]] = {}
    for frame in frames:
        of_patient.setdefault(frame.patient, []).append(frame)
    patients = sorted(of_patient)
    rows = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda patient: _patient_traits(root, patient, of_patient[patient]), patients)
        for row, unread in tqdm(results, total=len(patients), desc="traits", unit="patient", disable=None, leave=False):
            rows.append(row)
            for path, reason in unread.items():
                skipped.add(f"not audited: {reason}", path)
    return patients, {name: np.array([row.get(name, np.nan) for row in rows]) for name in TRAITS}


def _patient_traits(root: Path, patient: str, frames: Sequence[Frame]) -> tuple[dict[str, float], dict[str, str]]:
    """A patient's traits, and why which frames could not be read."""
    found: list[dict[str, float]] = []
    unread: dict[str, str] = {}
    decoded = set(np.linspace(0, len(frames) - 1, DECODED_FRAMES).round().astype(int).tolist())
    for place, frame in enumerate(frames):
        try:
            traits = _stored_traits(root, frame)
            if place in decoded:
                traits |= pixel_traits(np.asarray(read_image(root / frame.path).convert("L")))
        except ValueError as error:
            unread[str(frame.path)] = str(error)
            continue
        found.append(traits)
    numbers = re.findall(r"\d+", patient)
    median = {"year": np.nan, "patient_number": float(numbers[-1]) if numbers else np.nan, "frames": len(frames)}
    for name in dict.fromkeys(name for traits in found for name in traits):
        values = np.array([traits.get(name, np.nan) for traits in found])
        values = values[~np.isnan(values)]
        median[name] = float(np.quantile(values, 0.5, method="lower")) if len(values) else np.nan
    return median, unread


def _stored_traits(root: Path, frame: Frame) -> dict[str, float]:
    """What is known without decoding."""
    path = root / frame.path
    (height, width), steps = read_header(path)
    return {
        "year": frame.day.year if frame.day else np.nan,
        "file_size": path.stat().st_size,
        "jpeg_step": float(np.mean(steps)) if steps else np.nan,
        "frame_height": height,
        "frame_width": width,
        "matrix_decimals": _matrix_decimals(path.with_name(f"{frame.name}.txt")),
    }


def _matrix_decimals(path: Path) -> float:
    """Most digits after the point among a matrix's first numbers; NaN without a matrix that can be read."""
    try:
        numbers = written_numbers(path, _MATRIX_BYTES)[:-1]  # the last one may be cut
    except OSError as error:
        refuse_failing_device(error, path)
        return np.nan
    digits = [re.fullmatch(r"[-+]?\d*+\.?(\d*+)(?:[eE][-+]?\d+)?", number) for number in numbers]
    return float(max((len(match[1]) for match in digits if match), default=np.nan))


def pixel_traits(gray: NDArray[np.uint8]) -> dict[str, float]:
    """Traits of gray levels uint8 [H, W]; those that a frame does not have are NaN.

    - background_level: median outside the body, which Otsu's threshold finds
    - border_level: median of the outermost fiftieth outside the body, less the background level
    - marker: how far a spot in the lower middle is darker than what lies left, right and above: the paper square that
      some are photographed with
    - sharpness: mean absolute Laplacian, a hundredth of the gray range as unit: noise, focus, true resolution
    - palette: how unevenly neighbouring gray levels are used, 0 where all are alike: a camera of few colours and a
      stretched or converted scale leave gaps
    """
    small = np.asarray(cv2.resize(gray, _SMALL[::-1], interpolation=cv2.INTER_AREA), dtype=np.uint8)
    threshold, _ = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    outside, rim = small <= threshold, np.ones(small.shape, bool)
    rim[2:-2, 3:-3] = False
    background = float(np.median(small[outside])) if outside.any() else np.nan
    low, high = np.percentile(small, (2, 98))
    laplacian = cv2.Laplacian(gray, cv2.CV_16S)
    return {
        "gray_mean": float(small.mean()),
        "gray_range": float(high - low),
        "background_level": background,
        "border_level": float(np.median(small[outside & rim])) - background if (outside & rim).any() else np.nan,
        "marker": _marker(small),
        "sharpness": float(np.abs(laplacian).mean() / max(high - low, 1.0) * 100),
        "palette": _palette(gray),
    }


def _palette(gray: NDArray[np.uint8]) -> float:
    """Mean difference of a level's share of the pixels from the mean of its neighbours', relative to that mean."""
    levels = np.bincount(gray.ravel(), minlength=256).astype(np.float64)[1:-1]  # the ends collect what is clipped
    smooth = np.convolve(levels, (0.5, 0, 0.5), mode="valid")
    return float(np.abs(levels[1:-1] - smooth).sum() / max(smooth.sum(), 1.0))


def _marker(small: NDArray[np.uint8]) -> float:
    """Largest contrast in gray levels of a spot of 5 x 5 in the lower middle to its surroundings 14 away."""
    reach = 14
    spot = cv2.blur(small.astype(np.float32), (5, 5))
    rows, columns = slice(84, 118), np.arange(56, 104)
    around = [spot[rows, columns - reach], spot[rows, columns + reach], spot[84 - reach : 118 - reach, columns]]
    return float((np.min(around, axis=0) - spot[rows, columns]).max())
