"""Teach a UNet the seven regions on drawn torsos alone: `python -m src.phantom.teach OUT`.

Every step sees torsos that were never drawn before, so there is nothing to augment and nothing to overfit. No real frame
takes part in it, not even in choosing when to stop: the rate ends at nothing, and the last weights are kept.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from model.unet import UNet
from src.losses import dice_loss
from src.phantom.shape import CLASSES
from src.phantom.torsos import draw_torso
from src.training.precision import compute_dtype, computing_in, memory_layout

logger = logging.getLogger(__name__)

CLASS_WEIGHTS = (1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0)
"""As published for the decoders: nipples count twice."""


class Torsos(Dataset[Any]):
    """Drawn torsos by number: gray levels uint8 [120, 160] and classes uint8 [120, 160]."""

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count = first, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        levels, classes = draw_torso(self.first + index)
        return torch.from_numpy(levels), torch.from_numpy(classes)


def normalised(levels: torch.Tensor) -> torch.Tensor:
    """Gray levels uint8 [B, H, W] as the network takes them: float32 [B, 1, H, W], mean 0 and spread 1 in each frame."""
    x = levels[:, None].float() / 255
    return (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 1e-3)


def teach(out: Path, base: int, steps: int, batch: int, rate: float, seed: int, device: torch.device, workers: int) -> UNet:
    torch.manual_seed(seed)
    dtype = compute_dtype("auto", device)
    net = UNet(1, len(CLASSES), base).to(device, memory_format=memory_layout(dtype, device))
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    weights = torch.tensor(CLASS_WEIGHTS, device=device)
    torsos = Torsos(seed * 10_000_000, steps * batch)
    loader = DataLoader(torsos, batch, num_workers=workers, worker_init_fn=_one_thread)
    for step, (levels, classes) in enumerate(tqdm(loader, unit="step"), 1):
        levels, classes = levels.to(device), classes.to(device).long()
        with computing_in(dtype, device):
            logits = net(normalised(levels)).float()
        target = F.one_hot(classes, len(CLASSES)).movedim(-1, 1).float()
        loss = F.cross_entropy(logits, classes, weights) + dice_loss(logits, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            logger.info("step %d loss %.3f", step, loss.item())
        if step % 500 == 0:
            torch.save(net.state_dict(), out)
    torch.save(net.state_dict(), out)
    return net


def _one_thread(_: int) -> None:
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--base", type=int, default=16)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    a = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    teach(a.out, a.base, a.steps, a.batch, a.rate, a.seed, torch.device("cpu"), a.workers)


if __name__ == "__main__":
    main()
