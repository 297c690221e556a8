"""`encoder: taught`: the encoder that needs no training, from the weights that ship to a run folder like any other."""

import logging
import sys
import time
from dataclasses import replace

import torch

from src.datasets.build import Parts
from src.datasets.snapshots import DEFAULT_PALETTE
from src.datasets.torch_datasets import FrameDataset, assumed_palette
from src.errors import UserError
from src.networks import checkpoint as checkpoints
from src.networks.features import TaughtEncoder
from src.networks.taught import read_taught
from src.settings import LatentSettings
from src.training import distributed
from src.training.engine import start_checkpoint
from src.training.latent_export import show_latents
from src.training.memory import peak_memory_mb
from src.training.session import Session

logger = logging.getLogger(__name__)


def take_taught(session: Session, settings: LatentSettings, parts: Parts[FrameDataset]) -> None:
    """Write the encoder that ships as the run's checkpoint, after no epoch, and show its latents of test frames.

    It saw no patient, so that the checkpoint names none. Raises `UserError` where a run to be tested holds another.
    """
    if not distributed.writes():
        return
    arguments, run, started = session.arguments, session.run, time.perf_counter()
    palette = assumed_palette(parts.train, parts.test.patients, settings.palette)
    if arguments.resume and run.best.is_file() and not TaughtEncoder.owns(checkpoints.load(run.best).model):
        raise UserError(
            f"{run.best}: a pretrained encoder, which encoder: taught does not go on with; say encoder=cuts"
        )
    if arguments.mode == "train":
        taught = read_taught()
        logger.info("the weights that ship (taught on %s) are the encoder: nothing to train", taught.taught_on)
        if parts.train.image_size != taught.image_size:
            logger.warning(
                "encoder: taught: knows frames of %d x %d, not of %d x %d; consider image_size",
                *(*taught.image_size, *parts.train.image_size),
            )
        state = replace(start_checkpoint(settings, parts), model=TaughtEncoder.from_taught(taught).state_dict())
        state = replace(state, patients=[], validation=[], palette=palette)
        run.begin(settings, sys.argv, True, torch.float32)
        parts.save_split(run.split)
        for path in (run.best, run.last):
            checkpoints.save(path, state)
    found = checkpoints.load(run.best)
    if not TaughtEncoder.owns(found.model):
        raise UserError(f"{run.best}: a pretrained encoder, not the one that ships; say encoder=cuts")
    encoder = TaughtEncoder.from_state_dict(found.model, found.palette or palette or DEFAULT_PALETTE)
    encoder.to(session.device)
    show_latents(encoder, parts, run, arguments, settings.seed)
    scores: dict[str, float] = {}
    if arguments.mode == "train":
        scores = {"epochs": 0, "best_epoch": 0, "seconds": time.perf_counter() - started}
        scores["peak_memory_mb"] = peak_memory_mb(session.device)
    run.finish(scores)
