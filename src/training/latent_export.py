"""What latents of the test frames hold: a sheet of pictures, and the files of `--export-latents` and `--clusters`."""

import io
import logging
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image, ImageColor
from sklearn.cluster import MiniBatchKMeans
from tqdm import tqdm

from src import cli
from src.datasets.build import Parts
from src.datasets.torch_datasets import FrameDataset, as_input
from src.encoder import CUTSEncoder
from src.errors import UserError
from src.evaluation import figures
from src.evaluation.region_colours import region_colour
from src.files import atomic_write
from src.networks.features import TaughtEncoder
from src.training.pretraining import encode_for_pictures
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

_FITTED_FRAMES = 50  # of training
_SHOWN_FRAMES = 4


def show_latents(
    encoder: CUTSEncoder | TaughtEncoder,
    parts: Parts[FrameDataset],
    run: RunFolder,
    arguments: cli.Arguments,
    seed: int,
) -> None:
    """Draw latents of a few test frames, and write those of all that the command line asks for."""
    shown = parts.test.spread(_SHOWN_FRAMES)
    pictures = encode_for_pictures(encoder, shown, next(encoder.parameters()).device)
    figures.encoder_sheet(*pictures, [patient for patient, _ in shown.names], seed, run.figures / "latents.png")
    if arguments.export_latents or arguments.clusters is not None:
        _export(encoder, parts, run.results, arguments, seed)


def _export(
    encoder: CUTSEncoder | TaughtEncoder, parts: Parts[FrameDataset], results: Path, arguments: cli.Arguments, seed: int
) -> None:
    """Write for each test frame what is asked for, below `results`, by patient and file name.

    `latents/<patient>/<file>.npy`: float16 [L, H, W]. `clusters/<patient>/<file>.png`: an indexed picture of k-means
    with so many clusters, fitted on pixels of training frames, so that a colour means the same in every frame.
    Raises `UserError` where the disk does not hold the latents.
    """
    latents, clusters = arguments.export_latents, arguments.clusters
    encoder.eval()
    means = None
    if clusters is not None:
        few = parts.train.spread(_FITTED_FRAMES)
        means = _fit_clusters(_latents(encoder, few, "k-means"), clusters, len(few), seed)
    if latents:
        _refuse_full_disk(encoder, parts.test, results)
    for (_, file), z in zip(parts.test.names, _latents(encoder, parts.test, "latents"), strict=True):
        name = PurePath(file).with_suffix("")
        if latents:
            with atomic_write(results / "latents" / name.parent / f"{name.name}.npy") as opened:
                np.save(opened, z.astype(np.float16))
        if means is not None:
            with atomic_write(results / "clusters" / name.parent / f"{name.name}.png") as opened:
                opened.write(_indexed(_clusters_of(means, z)))
    written = [folder for folder, asked in (("latents", latents), ("clusters", means is not None)) if asked]
    logger.info("%s of %d test frames: %s", " and ".join(written), len(parts.test), results)


@torch.no_grad()
def _latents(encoder: CUTSEncoder | TaughtEncoder, dataset: FrameDataset, words: str) -> Iterator[np.ndarray]:
    """float32 [L, H, W] of each frame, one at a time: a gray frame's take 150 MB."""
    device = next(encoder.parameters()).device
    for place in tqdm(range(len(dataset)), desc=words, unit="frame", disable=None):
        yield encoder(as_input(dataset.__getitems__([place])["frame"].to(device)))[0].float().cpu().numpy()


def _refuse_full_disk(encoder: CUTSEncoder | TaughtEncoder, dataset: FrameDataset, folder: Path) -> None:
    height, width = dataset.image_size
    needed = 2 * encoder.latent_dim * height * width * len(dataset)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: latents of {len(dataset)} frames take {needed / 1e9:.1f} GB, {free / 1e9:.1f} are free"
        )
    logger.info("latents of %d test frames take %.2f GB", len(dataset), needed / 1e9)


def _indexed(labels: np.ndarray) -> bytes:
    image = Image.frombytes("P", labels.shape[::-1], labels.tobytes())
    image.putpalette([value for index in range(256) for value in ImageColor.getrgb(region_colour(index))])
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def _fit_clusters(latents: Iterable[np.ndarray], clusters: int, frames: int, seed: int) -> MiniBatchKMeans:
    """K-means of pixels drawn evenly from the latents [L, H, W] of so many frames."""
    generator = np.random.default_rng(seed)
    drawn = []
    for z in latents:
        pixels = z.reshape(len(z), -1).T
        drawn.append(pixels[generator.permutation(len(pixels))[: -(-figures.FITTED_PIXELS // frames)]])
    return MiniBatchKMeans(clusters, random_state=seed, n_init=3).fit(np.concatenate(drawn).astype(np.float32))


def _clusters_of(means: MiniBatchKMeans, latents: np.ndarray) -> np.ndarray:
    """The cluster of each pixel, uint8 [H, W], of one frame's latents [L, H, W]."""
    pixels = np.ascontiguousarray(latents.reshape(len(latents), -1).T, dtype=np.float32)
    found: np.ndarray = means.predict(pixels).astype(np.uint8)
    return found.reshape(latents.shape[1:])
