"""`python -m benchmarks.tumours [RUN ...]`: which tumours can be found, by depth and diameter, and who finds them.

On phantom patients of full variety, each without and with a tumour of one depth and diameter: the network that ships,
which learns from no patient, and runs of main_binary.py, beside two observers who know the spot they look for and where
it would be. One sees nothing but the spot in the camera's noise, and is ideal there. The other is the best linear one
in the drawn anatomy (Hotelling's), who looks at the place and at its mirror image in the other breast; the covariance
comes from places of other healthy patients. Also how high the spot stands in standard deviations of the breasts' own
texture, both as wide as spots are, and with --frames the texture of real ones.

Source: Barrett and Myers, Foundations of Image Science, 2004, chapter 13.
"""

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.covariance import ledoit_wolf
from tqdm import tqdm

from src.datasets.letterbox import resized
from src.datasets.source import Skipped
from src.errors import UserError
from src.errors import run as run_script
from src.evaluation.auc import auc_without_and_with
from src.networks.build import frame_features
from src.networks.findings import TumourFinder
from src.phantom.dataset import make_patient
from src.phantom.shape import HEIGHT, WIDTH
from src.phantom.temperatures import NOISE
from src.phantom.tumour import DEPTHS, DIAMETERS, warm_spot
from src.prediction.inputs import find_frames, read_thermogram
from src.prediction.predictors import Classifier, load_classifier

LEVEL, BREAST, WIDE = 0, 1, 3
"""Channels of breasts' pictures: the level, whether it is of the breast, and what of it is as wide as a spot."""
EDGE = 9  # pixels of these pictures within which of an edge or a nipple no texture is measured
REACH, POOLED = 16, 2
"""Pixels around a place that the linear observer looks at, and on a side of those that he takes together."""
PLACES = 10  # of each healthy patient, that the covariance is of
SEED, OTHERS = 777, 778  # of the patients to test on, and of those that the covariance is of
AT_ONCE = 32


def gray_levels(seed: int, index: int, cell: tuple[float, float] | None) -> np.ndarray:
    """The gray frame uint8 [480, 640] of a phantom patient, with a tumour of a depth and diameter or without one."""
    depth, diameter = cell or (DEPTHS[0], DIAMETERS[0])
    patient = make_patient(seed, index, cell is not None, 1, (depth, depth), (diameter, diameter))
    printed = np.rint(patient.frames[0] * 100) / 100
    return np.asarray(np.rint((printed - printed.min()) / np.ptp(printed) * 255), np.uint8)


def as_frames(levels: Sequence[np.ndarray]) -> torch.Tensor:
    """Gray frames as the networks that ship take them, float32 [N, 1, 120, 160] in -1..1."""
    small = np.stack([resized(each.astype(np.float32), (HEIGHT, WIDTH)) for each in levels])
    return torch.from_numpy(small)[:, None] / 127.5 - 1


@torch.inference_mode()
def regions_of(finder: TumourFinder, frames: torch.Tensor) -> torch.Tensor:
    """Where the network sees the regions of frames, as `TumourFinder.regions`."""
    return torch.cat([finder.regions(finder.levels(batch)) for batch in torch.split(frames, AT_ONCE)])


@torch.inference_mode()
def pictures_of(finder: TumourFinder, frames: torch.Tensor, regions: torch.Tensor | None = None) -> torch.Tensor:
    """Both breasts [N, 2, OF_A_SIDE, SIDE, SIDE] as the network sees them; those of `regions`, where they are given."""
    found = []
    for start in range(0, len(frames), AT_ONCE):
        levels = finder.levels(frames[start : start + AT_ONCE])
        where = finder.regions(levels) if regions is None else regions[start : start + AT_ONCE]
        found.append(finder.tumours.pictures(levels, where).seen)
    return torch.cat(found)


def windows(pictures: torch.Tensor, place: tuple[int, int, int]) -> np.ndarray:
    """What the linear observer sees of pictures at a place (side, row, column), and at its mirror image, [N, P]."""
    side, row, column = place
    level = F.pad(pictures[:, :, LEVEL], (REACH, REACH, REACH, REACH), mode="replicate")
    around = level[:, :, row : row + 2 * REACH, column : column + 2 * REACH]
    if side:
        around = around.flip(1)
    seen: np.ndarray = F.avg_pool2d(around, POOLED).flatten(1).double().numpy()
    return seen


def anatomy(pictures: torch.Tensor) -> np.ndarray:
    """The covariance [P, P] of windows at random places of the breasts."""
    rng, found = np.random.default_rng(0), []
    for each in pictures:
        inside = np.argwhere((each[:, BREAST] > 0.5).numpy())
        for side, row, column in inside[rng.integers(len(inside), size=PLACES)]:
            found.append(windows(each[None], (int(side), int(row), int(column)))[0])
    covariance: np.ndarray = ledoit_wolf(np.stack(found))[0]
    return covariance


def linear_auc(healthy: torch.Tensor, warmer: torch.Tensor, covariance: np.ndarray) -> float:
    """AUC of the linear observer: each patient's own spot, where it is, against all others without it there."""
    wins = []
    for number, spot in enumerate(warmer):
        side, row, column = np.unravel_index(int(spot[:, LEVEL].argmax()), spot[:, LEVEL].shape)
        place = int(side), int(row), int(column)
        signal, seen = windows(spot[None], place)[0], windows(healthy, place)
        scores = seen @ np.linalg.solve(covariance, signal)
        own = scores[number] + signal @ np.linalg.solve(covariance, signal)
        wins.append((own > np.delete(scores, number)).mean())
    return float(np.mean(wins))


def texture(pictures: torch.Tensor) -> np.ndarray:
    """Standard deviation [N] of what is as wide as a spot, over both breasts without their edges and nipples.

    NaN where nothing of the breasts is left.
    """
    _, breast, nipple, wide, _ = pictures.unbind(2)
    off = F.max_pool2d(torch.maximum((breast <= 0.5).float(), (nipple > 0.2).float()), EDGE, 1, EDGE // 2) > 0.5
    return np.array([each[~out].std().item() for each, out in zip(wide, off, strict=True)])


@torch.inference_mode()
def evidence(finder: TumourFinder, frames: torch.Tensor) -> np.ndarray:
    """Logits [N] of the network that ships."""
    return torch.cat([finder(batch).patients for batch in torch.split(frames, AT_ONCE)]).numpy()


def probabilities(classifier: Classifier, levels: Sequence[np.ndarray]) -> np.ndarray:
    """What a run says of gray frames, [N]."""
    return np.array([classifier.predict(each).probability for each in levels])


def detectability(auc: float) -> float:
    """The d' of an AUC."""
    return float(2**0.5 * NormalDist().inv_cdf(min(max(auc, 0.5), 1 - 1e-6)))


@dataclass(frozen=True)
class Healthy:
    """The patients to test on, before they get a tumour."""

    regions: torch.Tensor
    pictures: torch.Tensor
    evidence: np.ndarray
    of_runs: Mapping[str, np.ndarray]  # what each run says of them

    @property
    def texture(self) -> float:
        """Of most of them."""
        return float(np.nanmedian(texture(self.pictures)))


COLUMNS = (
    *("depth, mm", "diameter, mm", "rise, C", "height in texture", "d' in noise"),
    *("linear observer", "network", "its d' to the linear one's"),
)


def row(
    cell: tuple[float, float],
    healthy: Healthy,
    covariance: np.ndarray,
    finder: TumourFinder,
    runs: Mapping[str, Classifier],
) -> list[str]:
    """What is found of tumours of one depth and diameter, as COLUMNS say, and by each run."""
    count = len(healthy.regions)
    levels = [
        gray_levels(SEED, index, cell) for index in tqdm(range(count), desc="{:g} mm deep, {:g} mm".format(*cell))
    ]
    sick = as_frames(levels)
    warmer = pictures_of(finder, sick, healthy.regions) - healthy.pictures
    height = float(warmer[:, :, WIDE].flatten(1).amax(1).median()) / healthy.texture
    linear = linear_auc(healthy.pictures, warmer, covariance)
    found = evidence(finder, sick)
    auc = auc_without_and_with(healthy.evidence, found)
    ratio = detectability(auc.value or 0.5) / max(detectability(linear), 1e-6)
    patient = make_patient(SEED, 0, True, 1, (cell[0],) * 2, (cell[1],) * 2)
    assert patient.tumour is not None
    spot = warm_spot(patient.tumour, patient.px_per_mm).astype(float)
    in_noise = float(np.sqrt((spot**2).sum()) / np.mean(NOISE))
    told = [f"{cell[0]:g}", f"{cell[1]:g}", f"{patient.tumour.rise_c:.2f}", f"{height:.1f}", f"{in_noise:.0f}"]
    told += [f"{linear:.3f}", str(auc), f"{ratio:.2f}"]
    of_runs = (auc_without_and_with(healthy.of_runs[name], probabilities(run, levels)) for name, run in runs.items())
    return told + [str(each) for each in of_runs]


def real_frames(folder: Path) -> torch.Tensor:
    """All frames below a folder, as the networks that ship take them."""
    notes = Skipped()
    return as_frames([read_thermogram(each, notes).gray_picture() for each in find_frames(folder, notes)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tumours", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="of main_binary.py, on gray frames")
    parser.add_argument("--patients", type=int, default=300, metavar="N", help="to test on (default: 300)")
    parser.add_argument("--known", type=int, default=1500, metavar="N", help="for the covariance (default: 1500)")
    parser.add_argument("--frames", type=Path, metavar="DIR", help="real frames, whose texture is measured too")
    flags = parser.parse_args()
    if min(flags.patients, flags.known) < 20:
        raise UserError("--patients and --known: at least 20 are needed")
    finder, runs = frame_features().finder, {str(run): load_classifier(run, "cpu") for run in flags.runs}
    levels = [gray_levels(SEED, index, None) for index in tqdm(range(flags.patients), desc="healthy")]
    frames = as_frames(levels)
    of_runs = {name: probabilities(run, levels) for name, run in runs.items()}
    regions = regions_of(finder, frames)
    healthy = Healthy(regions, pictures_of(finder, frames, regions), evidence(finder, frames), of_runs)
    print(f"texture of {flags.patients} phantom patients: median {healthy.texture:.2f}")
    if flags.frames is not None:
        low, median, high = np.nanquantile(texture(pictures_of(finder, real_frames(flags.frames))), (0.1, 0.5, 0.9))
        print(f"texture of the frames in {flags.frames}: median {median:.2f}, four fifths {low:.2f} to {high:.2f}")
    known = as_frames([gray_levels(OTHERS, index, None) for index in tqdm(range(flags.known), desc="anatomy")])
    covariance = anatomy(pictures_of(finder, known))
    columns = [*COLUMNS, *runs]
    print("| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    for cell in itertools.product(DEPTHS, DIAMETERS):
        print("| " + " | ".join(row(cell, healthy, covariance, finder, runs)) + " |", flush=True)


if __name__ == "__main__":
    run_script(main)
