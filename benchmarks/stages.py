"""The rows of the speed table, each measured the way a training meets it."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from benchmarks import plain, timing, workload
from benchmarks.timing import Row
from src.datasets.build import build_frames
from src.datasets.images import read_image
from src.datasets.torch_datasets import as_input
from src.encoder import CUTSEncoder
from src.networks.precision import compute_dtype, computing_in
from src.patches import PatchSampler
from src.settings import REPOSITORY
from src.settings.file import load

_FIT = 8
"""Gray frames of a published step that fits in 24 GB; of all its 16 each place has a gradient twice as large."""


def pretraining_heat(data: Path, out: Path) -> Row:
    """A step of batch 16, sampler and data included."""
    ours = workload.pretraining(data, out, "heat", "min_steps_per_epoch=1", "train_val_ratio=16:4")
    x = as_input(ours.parts.train.everything()["frame"][:16])
    plainly, published = _other_pretraining(x)
    slow, fast = timing.interleaved(plainly, ours.epoch, 3)
    floor = timing.operations(ours.epoch) / timing.operations_per_second(ours.pretraining.dtype)
    target = "at least 600 times the published step"
    return Row("pretraining step, heat, batch 16", slow, fast, target, floor, published=timing.seconds(published))


def pretraining_gray(data: Path, out: Path) -> Row:
    """A step of batch 16 against a plain one of one image, and a published one of as many as 24 GB take, by image."""
    ours = workload.pretraining(data, out, "gray", "min_steps_per_epoch=1", "train_val_ratio=16:4")
    frames = as_input(ours.parts.train.everything()["frame"][:_FIT])
    slow, fast = timing.interleaved(_other_pretraining(frames[:1])[0], ours.epoch, 2)
    fast /= len(ours.parts.train)
    floor = timing.operations(ours.epoch) / timing.operations_per_second(ours.pretraining.dtype) / len(ours.parts.train)
    published = timing.seconds(_other_pretraining(frames)[1]) / len(frames)
    target = "at least 4,000 times the published step"
    return Row("pretraining step, gray, by image", slow, fast, target, floor, published=published)


def _other_pretraining(x: torch.Tensor) -> tuple[timing.Work, timing.Work]:
    """A plain and a published step."""
    torch.manual_seed(0)
    encoder, generator, rng = CUTSEncoder(x.shape[1]), torch.Generator().manual_seed(0), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-3)
    return (
        lambda: plain.pretraining_step(encoder, optimizer, x, generator),
        lambda: plain.published_pretraining_step(encoder, optimizer, x, rng),
    )


def sampler(data: Path, out: Path) -> Row:
    """Anchors and positives of 16 heat frames."""
    x = as_input(workload.pretraining(data, out, "heat").parts.train.everything()["frame"][:16])
    images, rng, generator = x.numpy(), np.random.default_rng(0), torch.Generator().manual_seed(0)
    draw = PatchSampler()
    slow, fast = timing.interleaved(lambda: plain.sample_places(images, rng), lambda: draw(x, generator), 5)
    return Row("sampler with SSIM, batch 16", slow, fast, "at least 100 times faster", published=slow)


def segmentation_epoch(data: Path, out: Path) -> Row:
    """An epoch of 16 frames at the published width."""
    ours = workload.segmentation(data, out, "heat", "min_steps_per_epoch=1")
    encoder, train = workload.encoder_of(3), ours.parts.train
    decoder = workload.segmentation(data, out, "heat").task.model.decoder.to(memory_format=torch.contiguous_format)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=5e-3)

    def run() -> None:
        batch = train.everything()
        plain.segmentation_step(encoder, decoder, optimizer, as_input(batch["frame"]), batch["target"])

    slow, fast = timing.interleaved(run, ours.epoch, 3)
    floor = timing.operations(ours.epoch) / timing.operations_per_second(ours.task.latents.dtype)
    stage = f"decoder epoch, heat, segmentation, {len(train)} frames"
    return Row(stage, slow, fast, "at most twice the floor", floor, published=slow)


def segmentation_gray_memory(data: Path, out: Path) -> Row:
    """A step of batch 16 on 480 x 640: the obvious PyTorch does not fit in 24 GB."""
    peak = timing.peak_gigabytes("segmentation")
    return Row("decoder step, gray, batch 16: peak memory", None, peak, "at most 11.2 GiB (12 GB)", unit="GiB")


def pretraining_gray_memory(data: Path, out: Path) -> Row:
    """A step of batch 16 on 480 x 640."""
    peak = timing.peak_gigabytes("pretraining")
    return Row("pretraining step, gray, batch 16: peak memory", None, peak, "at most 1.5 GiB", unit="GiB")


def frames_first_start(data: Path, out: Path) -> Row:
    """Gray frames decoded into the cache; the floor is the JPEG decoder alone on all cores."""
    paths = sorted(path for path in data.rglob("*.jpg") if not path.stem.endswith("_snap"))
    start = _start(data, out)

    def decode_all() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(read_image, paths))

    def start_afresh() -> None:
        for path in (out / "dmr_cache").glob("*"):
            path.unlink()
        start()

    floor, fast = timing.interleaved(decode_all, start_afresh, 3)
    stage = f"{len(paths)} gray frames, first start"
    return Row(stage, None, fast, "bound by the JPEG decoder", floor)


def frames_second_start(data: Path, out: Path) -> Row:
    """The same with the cache in place."""
    start = _start(data, out)
    start()
    taken = min(timing.seconds(start) for _ in range(3))
    return Row("the same, second start", None, taken, "under 1 s")


def _start(data: Path, out: Path) -> timing.Work:
    settings = load(REPOSITORY / "config" / "dmr_cfg_gray.yaml", [f"dataset_path={data}", f"output_root={out}"])
    return lambda: build_frames(settings)  # type: ignore[arg-type]


def prediction(data: Path, out: Path) -> Row:
    """`encoder(x)` on 16 heat frames, and how many pixels' most probable class stays."""
    work = workload.segmentation(data, out, "heat")
    dtype, encoder = compute_dtype("auto", workload.CPU), workload.encoder_of(3)
    folded = encoder.folded()
    x = as_input(work.parts.train.everything()["frame"])

    @torch.no_grad()
    def fast() -> torch.Tensor:
        with computing_in(dtype, workload.CPU):
            return torch.cat([folded(frame[None]) for frame in x])

    @torch.no_grad()
    def slow() -> torch.Tensor:
        z: torch.Tensor = encoder(x)
        return z

    decoder = work.task.model.decoder.eval()
    with torch.no_grad():
        same = (decoder(slow()).argmax(1) == decoder(fast().float()).argmax(1)).float().mean().item()
    before, after = timing.interleaved(slow, fast, 3)
    floor = timing.operations(slow) / timing.operations_per_second(dtype)
    stage = f"encoder(x) for prediction, 16 heat frames ({same:.2%} of classes the same)"
    return Row(stage, before, after, "at most 1.3 times the floor", floor, published=before)


STAGES = (
    pretraining_heat,
    pretraining_gray,
    sampler,
    segmentation_epoch,
    segmentation_gray_memory,
    frames_first_start,
    frames_second_start,
    prediction,
    pretraining_gray_memory,
)
