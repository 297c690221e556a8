"""Writes a phantom database: `python -m src.phantom OUT --patients N --seed S` in DMR's own layout.

Frontal torsos with temperatures, region polygons and, in half of the patients, one tumour's warm spot on a breast. It
proves the software and says nothing clinical. "Left" is the image's left.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from src.datasets.dmr_dataset import DESCRIPTION, description
from src.datasets.snapshots import make_snapshot, write_jpeg
from src.errors import UserError
from src.files import is_complete, write_json, write_text
from src.phantom.draws import Draws
from src.phantom.outlines import FRAME_HEIGHT, FRAME_WIDTH, SCALE, Polygon
from src.phantom.plants import PLANTS, Plants, export_margin, marker_share, planted_day, through_camera
from src.phantom.shape import CLASSES
from src.phantom.temperatures import draw_skin, render_frame
from src.phantom.torsos import draw_whole_torso
from src.phantom.tumour import DEPTHS, DIAMETERS, HALF_CHEST, Tumour, draw_tumour, tumour_spot, warm_spot

log = logging.getLogger(__name__)

FORMAT = 3  # raised whenever the same arguments would write other frames
ANNOTATION_FILE = "52_instances_default.json"
RECORD_FILE, PARTIAL_FILE = "phantom.json", "phantom.partial.json"
MAX_PATIENTS, MAX_FRAMES = 9999, 100
FIRST_DAY, LAST_DAY = date(2012, 1, 1), date(2020, 12, 31)
TAG_TUMOUR, TAG_NOISE, TAG_LABELS, TAG_MARKER = 101, 102, 103, 104  # keep a patient's separate random streams apart


@dataclass(frozen=True)
class Patient:
    """One patient: frames float32 [K, 480, 640] in C, polygons [P, 2] (x, y) by region for frame 00, tumour or None.

    `margin` is how many C the gray scale goes beyond the frame's own range.
    """

    frames: NDArray[np.float32]
    polygons: dict[str, Polygon]
    tumour: Tumour | None
    day: date
    px_per_mm: float
    margin: float


def make_patient(
    seed: int,
    index: int,
    sick: bool,
    frames: int = 1,
    depth: tuple[float, float] = (5.0, 20.0),
    diameter: tuple[float, float] = (10.0, 30.0),
    variety: float = 1.0,
    plants: Plants = (),
) -> Patient:
    """Patient number `index` of a seed, as arrays: sick or not, the patient is the same but for warm spot and plants.

    `variety` says how far torsos differ from the typical one: 1 as much as patients do, 0 hardly at all.
    """
    draws = Draws([seed, index], variety)
    day = FIRST_DAY + timedelta(days=int(draws.integers((LAST_DAY - FIRST_DAY).days + 1)))
    shape, warmth, polygons = draw_whole_torso(draws)
    has_marker = draws.random() < marker_share(plants, sick)
    marker = Draws([seed, index, TAG_MARKER], variety / 2)  # paper differs less than patients do
    skin = draw_skin(draws, shape, warmth, marker if has_marker else None)
    scale = SCALE * shape.camera.half / (HALF_CHEST * float(draws.uniform(0.9, 1.1)))
    tumour, spot = None, None
    if sick:
        tumour = draw_tumour(np.random.default_rng([seed, index, TAG_TUMOUR]), shape, depth, diameter, variety)
        spot = warm_spot(tumour, scale)
    noise = [np.random.default_rng([seed, index, TAG_NOISE, frame]) for frame in range(frames)]
    rendered = [through_camera(plants, sick, render_frame(rng, skin, frame, spot)) for frame, rng in enumerate(noise)]
    day = planted_day(plants, sick, day, FIRST_DAY, LAST_DAY)
    return Patient(np.stack(rendered), polygons, tumour, day, scale, export_margin(plants, sick))


def draw_labels(patients: int, seed: int, annotated: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who is sick [N] (half of them) and who is annotated [N] (the fraction asked for, alike in both halves)."""
    order = np.random.default_rng([seed, patients, TAG_LABELS]).permutation(patients)
    # Every second patient of a random order is sick, so any beginning of that order is balanced as well.
    sick, drawn = np.zeros(patients, bool), np.zeros(patients, bool)
    sick[order[1::2]] = True
    drawn[order[: round(annotated * patients)]] = True
    return sick, drawn


# Every temperature from 0.00 to 99.99 as it is printed: one look-up a pixel instead of one formatting a pixel.
_PRINTED = np.frombuffer("".join(f"{n // 100:02d}.{n % 100:02d} " for n in range(10000)).encode(), np.uint8)
_PRINTED = _PRINTED.reshape(10000, 6)


def write_matrix(path: Path, temperatures: NDArray[np.float32]) -> None:
    """Text matrix of temperatures [H, W] in C (0 to 99.99): a line a row, numbers of 2 decimals between spaces."""
    hundredths = np.clip(np.rint(temperatures * 100.0), 0, 9999).astype(np.intp)
    printed = _PRINTED[hundredths]
    printed[:, -1, -1] = ord("\n")
    path.write_bytes(printed.tobytes())


def _write_patient(folder: Path, number: int, patient: Patient) -> list[str]:
    """Writes one patient's folder; returns the gray frames' names."""
    folder.mkdir(exist_ok=True)
    diagnosis = "Sick" if patient.tumour else "Healthy"
    (folder / DESCRIPTION).write_text(description(diagnosis), encoding="utf-8")
    names = []
    for frame, temperatures in enumerate(patient.frames):
        stem = f"T{number:04d}.1.1.D.{patient.day.isoformat()}.{frame:02d}"
        # Gray frame and snapshot come from the printed degrees, so that they can be derived from the matrix again.
        printed = (np.rint(temperatures * 100.0) / 100.0).astype(np.float32)
        low, high = printed.min() - patient.margin, printed.max() + patient.margin
        gray = np.rint((printed - low) / (high - low) * 255.0).astype(np.uint8)
        write_matrix(folder / f"{stem}.txt", printed)
        write_jpeg(folder / f"{stem}.jpg", np.repeat(gray[..., None], 3, axis=2))
        write_jpeg(folder / f"{stem}_snap.jpg", make_snapshot(printed, margin=patient.margin))
        names.append(f"{stem}.jpg")
    return names


def _annotations(image_id: int, first_id: int, polygons: dict[str, Polygon]) -> list[dict[str, Any]]:
    """COCO annotations of one frame in the order of the categories: a nipple comes after the breast it lies on."""
    names = [name for name in CLASSES if name in polygons]
    return [
        {
            "id": number,
            "image_id": image_id,
            "category_id": CLASSES.index(name) + 1,
            "segmentation": [polygons[name].ravel().tolist()],
            "area": 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))),
            "bbox": [float(x.min()), float(y.min()), float(np.ptp(x)), float(np.ptp(y))],
            "iscrowd": 0,
        }
        for number, name in enumerate(names, first_id)
        for x, y in [polygons[name].T]
    ]


def _coco(frames: list[tuple[str, dict[str, Polygon]]]) -> dict[str, Any]:
    """The annotation file of (file name, polygons) pairs, with the keys of a CVAT export."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for name, polygons in frames:
        images.append({"id": len(images) + 1, "width": FRAME_WIDTH, "height": FRAME_HEIGHT, "file_name": name})
        annotations.extend(_annotations(len(images), len(annotations) + 1, polygons))
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "phantom", "url": "", "version": "", "year": ""},
        "categories": [{"id": n, "name": name, "supercategory": ""} for n, name in enumerate(CLASSES, start=1)],
        "images": images,
        "annotations": annotations,
    }


def _checked_arguments(**arguments: Any) -> dict[str, Any]:
    """The arguments as phantom.json records them; raises UserError for an impossible one."""
    limits = {"patients": (1, MAX_PATIENTS), "frames": (1, MAX_FRAMES), "annotated": (0, 1), "variety": (0, 1)}
    for name, (low, high) in (limits | {"seed": (0, 2**32 - 1)}).items():
        if not low <= arguments[name] <= high:
            raise UserError(f"{name} is {arguments[name]}, it must lie between {low} and {high}")
    for name in ("depth", "diameter"):
        smallest, largest = arguments[name]
        if smallest > largest:
            raise UserError(f"{name} is {smallest:g} {largest:g}, the smaller number comes first")
        arguments[name] = [float(smallest), float(largest)]
    for corner in (0, 1):
        tumour_spot(arguments["depth"][corner], arguments["diameter"][corner])
    return {"format": FORMAT, **arguments, **{name: float(arguments[name]) for name in ("annotated", "variety")}}


def _cores() -> int:
    """How many cores this process may use; macOS knows only how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write_phantom(
    out: Path,
    patients: int,
    seed: int = 0,
    frames: int = 1,
    annotated: float = 1.0,
    depth: tuple[float, float] = (5.0, 20.0),
    diameter: tuple[float, float] = (10.0, 30.0),
    variety: float = 1.0,
    plants: Plants = (),
) -> None:
    """Writes a phantom database of N patients with K frames each; the same arguments give the same bytes.

    A complete phantom of the same arguments is left alone, an interrupted one is written again. Depth and diameter
    are ranges in mm; `variety` as in `make_patient`; `plants` are shortcuts to the diagnosis that the frames get.
    Raises UserError for impossible arguments or a folder that holds anything else.
    """
    numbers = {"patients": patients, "seed": seed, "frames": frames, "annotated": annotated}
    arguments = _checked_arguments(**numbers, depth=depth, diameter=diameter, variety=variety)
    arguments |= {"plants": sorted(set(plants))} if plants else {}  # phantoms without any keep their record
    if is_complete(out, arguments, RECORD_FILE, PARTIAL_FILE, "phantom"):
        log.info("%s holds this phantom already", out)
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / PARTIAL_FILE, {"arguments": arguments})
    sick, drawn = draw_labels(patients, seed, annotated)

    def one(index: int) -> tuple[str, dict[str, Polygon], Tumour | None]:
        patient = make_patient(seed, index, bool(sick[index]), frames, depth, diameter, variety, plants)
        names = _write_patient(out / f"{index + 1:04d}", index + 1, patient)
        return names[0], patient.polygons, patient.tumour

    # Threads do: nearly all of the time is spent in OpenCV, numpy and Pillow with the interpreter's lock released.
    with ThreadPoolExecutor(max_workers=_cores()) as pool:
        done = list(tqdm(pool.map(one, range(patients)), total=patients, desc="phantom", unit="patient"))
    labelled = [(name, polygons) for (name, polygons, _), is_drawn in zip(done, drawn, strict=True) if is_drawn]
    write_text(out / ANNOTATION_FILE, json.dumps(_coco(labelled)))
    record = {
        f"{index + 1:04d}": {"diagnosis": "Sick" if tumour else "Healthy", "tumour": asdict(tumour) if tumour else None}
        for index, (_, _, tumour) in enumerate(done)
    }
    write_json(out / RECORD_FILE, {"arguments": arguments, "patients": record})
    (out / PARTIAL_FILE).unlink()
    log.info("%s: %d patients, regions of %d in %s", out, patients, len(labelled), ANNOTATION_FILE)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m src.phantom", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="a new or empty folder")
    parser.add_argument("--patients", type=int, required=True, metavar="N")
    parser.add_argument("--seed", type=int, required=True, metavar="S")
    parser.add_argument("--frames", type=int, default=1, metavar="K", help="frames of each patient (default: 1)")
    parser.add_argument("--annotated", type=float, default=1.0, metavar="FRACTION", help="of the patients (default: 1)")
    words = "how far torsos differ: 1 as patients do (default)"
    parser.add_argument("--variety", type=float, default=1.0, metavar="0..1", help=words)
    words = "a shortcut to the diagnosis"
    parser.add_argument("--plant", choices=PLANTS, action="append", default=[], dest="plants", help=words)
    for name, limits in (("depth", (DEPTHS[0], DEPTHS[-1])), ("diameter", (DIAMETERS[0], DIAMETERS[-1]))):
        parser.add_argument(f"--{name}", type=float, nargs=2, default=limits, metavar=("MIN", "MAX"), help="mm")
    options = vars(parser.parse_args(arguments))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        write_phantom(**options)
    except OSError as error:
        raise UserError(f"cannot write {options['out']}: {error.strerror}") from None
