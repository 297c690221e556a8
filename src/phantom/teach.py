"""Teaches a UNet the seven regions on drawn torsos alone: `python -m src.phantom.teach`.

Every step sees torsos that were never drawn before, so there is nothing to augment, to overfit or to choose: the rate
ends at nothing, and the last weights are kept. No real frame takes part. The torsos follow from the seed, whatever the
number of processes that draw them; interrupted, the same command goes on where it was last saved.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from model.unet import UNet
from src.errors import UserError, run
from src.evaluation.decision import chosen_classes
from src.evaluation.segmentation import confusion_matrices, region_scores
from src.files import atomic_write
from src.losses import dice_loss
from src.networks.checkpoint import load_plain
from src.networks.features import features_of
from src.networks.levels import NormalisedLevels
from src.networks.precision import compute_dtype, computing_in, memory_layout
from src.networks.taught import SHIPPED, Taught, read_taught, write_taught
from src.phantom.shape import BACKGROUND, CLASSES, HEIGHT, WIDTH
from src.phantom.torsos import draw_torso
from src.training.engine import choose_device, make_repeatable

logger = logging.getLogger(__name__)

CLASS_WEIGHTS = (1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0)
"""As published for the decoders: nipples count twice."""
TESTED = 400
"""Torsos that every network is tested on: numbers from 0 on, which no lesson uses."""
LIMITS = np.arange(0, 0.96, 0.05).round(2)
"""Mean probabilities that are tried as the least that a nipple needs."""
MAY_COST = 0.02
"""Share of the nipples there are that the limit may lose."""
_A_SEED = 10_000_000  # torsos between the first ones of two seeds
_SAVE_EVERY = 250  # steps


@dataclass(frozen=True)
class Lesson:
    """How a network is taught."""

    base_channels: int = 16
    steps: int = 4000
    batch_size: int = 16
    learning_rate: float = 3e-3
    seed: int = 1


class Torsos(Dataset[Any]):
    """Drawn torsos by number: levels uint8 [1, 120, 160] and classes int64 [120, 160]."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        levels, classes = draw_torso(self.first + index)
        return torch.from_numpy(levels)[None], torch.from_numpy(classes).long()


def batches(first: int, count: int, size: int, workers: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Torsos number `first` and on as frames float32 [B, 1, H, W] in -1..1 and classes int64 [B, H, W]."""
    loader = DataLoader(Torsos(first, count), size, num_workers=workers, worker_init_fn=_one_thread)
    for levels, classes in loader:
        yield levels.float() / 127.5 - 1, classes


def _one_thread(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def teach(
    lesson: Lesson, device: torch.device, workers: int, partial: Path, before: Mapping[str, torch.Tensor] | None = None
) -> UNet:
    """The network that a lesson gives, in eval mode; `partial` is where it is saved on the way, and gone on from.

    `before` are the weights of an earlier lesson to begin with, in place of random ones.
    """
    make_repeatable(lesson.seed)
    dtype = compute_dtype("auto", device)
    network = UNet(1, len(CLASSES), lesson.base_channels).to(device)
    network.to(memory_format=memory_layout(dtype, device))
    if before is not None:
        network.load_state_dict(before)
    normalise = NormalisedLevels().to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lesson.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lesson.learning_rate, total_steps=lesson.steps, pct_start=0.15
    )
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    done = _go_on(parts, lesson, partial)
    weights = torch.tensor(CLASS_WEIGHTS, device=device)
    first = lesson.seed * _A_SEED + done * lesson.batch_size
    drawn = batches(first, (lesson.steps - done) * lesson.batch_size, lesson.batch_size, workers)
    network.train()
    with logging_redirect_tqdm(), tqdm(total=lesson.steps, initial=done, unit="step", disable=None) as bar:
        for step, (frames, classes) in enumerate(drawn, done + 1):
            frames, classes = frames.to(device), classes.to(device)
            with computing_in(dtype, device):
                logits = network(normalise(frames)).float()
            target = F.one_hot(classes, len(CLASSES)).movedim(-1, 1).float()
            loss = F.cross_entropy(logits, classes, weights) + dice_loss(logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            bar.update()
            if step % _SAVE_EVERY == 0:
                logger.info("step %d  loss %.3f", step, loss.item())
                _save(parts, lesson, step, partial)
    return network.eval()


def _save(parts: dict[str, Any], lesson: Lesson, step: int, partial: Path) -> None:
    with atomic_write(partial) as file:
        torch.save({name: part.state_dict() for name, part in parts.items()} | {"step": step, **vars(lesson)}, file)


def _go_on(parts: dict[str, Any], lesson: Lesson, partial: Path) -> int:
    """Load what an interrupted lesson saved; returns how many steps that were. `UserError` where it was another one."""
    if not partial.exists():
        return 0
    saved = load_plain(partial)
    if not isinstance(saved, dict) or any(saved.get(name) != value for name, value in vars(lesson).items()):
        raise UserError(f"{partial}: of another lesson; delete it, or give another --out")
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    logger.info("going on after step %d", saved["step"])
    return int(saved["step"])


@torch.inference_mode()
def tested(network: UNet, device: torch.device, workers: int) -> dict[str, float]:
    """Dice and other scores (`region_scores`) over the pixels of torsos that no lesson uses."""
    normalise, confusion = NormalisedLevels().to(device), np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    for frames, classes in batches(0, TESTED, 16, workers):
        found = network(normalise(frames.to(device))).argmax(1).cpu()
        confusion += confusion_matrices(classes.numpy(), found.numpy(), len(CLASSES)).sum(0)
    return region_scores(confusion, CLASSES, BACKGROUND)


@torch.inference_mode()
def feature_statistics(network: UNet, device: torch.device, workers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation [F] of each feature (`features_of`) over the pixels of the test torsos."""
    normalise = NormalisedLevels().to(device)
    moments = [
        torch.stack([z.mean((0, 2, 3)), z.square().mean((0, 2, 3))]).double()
        for frames, _ in batches(0, TESTED, 16, workers)
        for z in [features_of(network, normalise(frames.to(device))).float()]
    ]
    mean, square = torch.stack(moments).mean(0).cpu()
    return mean.float(), (square - mean**2).clamp_min(1e-6).sqrt().float()


@torch.inference_mode()
def least_probability(network: UNet, device: torch.device, workers: int) -> float:
    """The mean probability that a nipple needs: the highest that loses at most one in fifty of those there are.

    Found are the nipples of the test torsos whose centre is met within a thirty-second of the frame's width. What is
    less sure than that is mostly drawn where there is none.
    """
    normalise, sides = NormalisedLevels().to(device), [CLASSES.index(f"{side}_nipple") for side in ("left", "right")]
    there, met, sure = [], [], []
    for frames, classes in batches(0, TESTED, 16, workers):
        maps = network(normalise(frames.to(device))).softmax(1).cpu().numpy()
        for probabilities, truth in zip(maps, classes.numpy(), strict=True):
            labels = chosen_classes(probabilities[None], "whole", BACKGROUND)[0]
            for region in sides:
                drawn, real = labels == region, truth == region
                there.append(real.any())
                met.append(drawn.any() and real.any() and _apart(drawn, real) <= WIDTH / 32)
                sure.append(float(probabilities[region][drawn].mean()) if drawn.any() else -1.0)
    is_there, is_met, how_sure = np.array(there), np.array(met), np.array(sure)
    found = [(is_met & (how_sure >= at))[is_there].mean() for at in LIMITS]
    invented = [(how_sure >= at)[~is_there].mean() for at in LIMITS]
    chosen = max(index for index, share in enumerate(found) if share >= found[0] - MAY_COST)
    logger.info("nipples are drawn from a mean probability of %.2f on", LIMITS[chosen])
    logger.info(
        "found %.3f instead of %.3f, invented %.3f of %.3f", found[chosen], found[0], invented[chosen], invented[0]
    )
    return float(LIMITS[chosen])


def _apart(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Pixels between the centres of two masks."""
    return float(np.linalg.norm(np.argwhere(one).mean(0) - np.argwhere(other).mean(0)))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m src.phantom.teach", description=__doc__)
    parser.add_argument("task", nargs="?", choices=("regions",), default="regions", help="what to teach")
    parser.add_argument("--out", type=Path, default=SHIPPED, metavar="FILE", help="the weights (default: %(default)s)")
    parser.add_argument(
        "--start", type=Path, metavar="FILE", help="weights of an earlier lesson to go on from, with another --seed"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that draw (default: this one)")
    for name, value in vars(Lesson()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, metavar="N")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    lesson = Lesson(**{name: getattr(flags, name) for name in vars(Lesson())})
    for name, value in vars(lesson).items():  # torsos of seed 0 are those to test on
        if value <= 0:
            raise UserError(f"--{name.replace('_', '-')}: {value}: more than 0 is accepted")
    device = choose_device(flags.device)
    partial = flags.out.with_suffix(".partial")
    before = None if flags.start is None else read_taught(flags.start)
    if before and (before.base_channels, before.class_names) != (lesson.base_channels, CLASSES):
        raise UserError(
            f"--start {flags.start}: base_channels {before.base_channels} there, {lesson.base_channels} here"
        )
    if before and str(lesson.seed) in re.findall(r"seed (\d+)", before.taught_on):
        raise UserError(f"--start {flags.start}: was taught on the torsos of --seed {lesson.seed}; give another one")
    network = teach(lesson, device, flags.workers, partial, None if before is None else before.state)
    for name, value in tested(network, device, flags.workers).items():
        logger.info("%-24s %.3f", name, value)
    mean, std = feature_statistics(network, device, flags.workers)
    told = f"{lesson.steps * lesson.batch_size} drawn torsos, seed {lesson.seed}"
    told = told if before is None else f"{before.taught_on}, then {told}"
    state = {name: value.cpu() for name, value in network.state_dict().items()}
    nipple = least_probability(network, device, flags.workers)
    least = tuple(nipple if name.endswith("nipple") else 0.0 for name in CLASSES)
    size, base = (HEIGHT, WIDTH), lesson.base_channels
    write_taught(Taught(state, CLASSES, BACKGROUND, base, size, told, mean, std, least, flags.out), flags.out)
    partial.unlink(missing_ok=True)
    logger.info("wrote %s", flags.out)


if __name__ == "__main__":
    run(main, "the same command goes on where it was last saved")
