"""What stands before a decoder in training and test, and the checkpoint that belongs to it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from src.datasets.build import Parts
from src.datasets.torch_datasets import FrameDataset, assumed_palette
from src.errors import UserError
from src.networks import checkpoint as checkpoints
from src.networks.build import Frozen, frozen_input, random_encoder
from src.networks.checkpoint import Checkpoint
from src.networks.features import TaughtEncoder
from src.settings import DecoderSettings
from src.training.engine import start_checkpoint
from src.training.run_folder import RunFolder


def frozen_encoder(
    mode: str, root: Path | None, settings: DecoderSettings, parts: Parts[Any], run: RunFolder
) -> tuple[Frozen, Checkpoint]:
    """The encoder under the decoder, and the checkpoint that the decoder's weights go into or come from.

    To train, it is the pretrained one below `root` (the settings' output_root by default), refused if it saw test
    patients; to test, it is the very one that the run was trained on.
    """
    if mode == "test":
        trained = checkpoints.load(run.best)
        checkpoints.refuse_other_networks(trained.settings, settings, run.best)
        _refuse_other_classes(trained, parts.train, run)
        return frozen_input(settings, trained, run.best), trained
    start = start_checkpoint(settings, parts)
    if not settings.needs_encoder:
        if settings.decoder_input in ("levels", "features"):
            start.palette = assumed_palette(parts.train, parts.test.patients, settings.palette)
        frozen = frozen_input(settings, start, run.best)
        if settings.decoder_input == "features":  # kept with the run: those that ship may become better
            start.encoder = frozen.state_dict()
        return frozen, start
    folder = root or settings.output_root
    encoder, pretrained = checkpoints.load_encoder(folder, settings.encoder_modality, settings.encoder)
    if isinstance(encoder, TaughtEncoder):  # which saw no patient's frame: no split is asked for
        palette = assumed_palette(parts.train, parts.test.patients, settings.palette)
        start = replace(start, encoder=encoder.state_dict(), palette=palette)
        return frozen_input(settings, start, run.best), start
    if settings.decoder_input == "random":
        encoder = random_encoder(encoder)
        return encoder, replace(start, encoder=encoder.state_dict())
    checkpoints.refuse_leak(pretrained, set(parts.test.patients), settings.transductive)
    return encoder, replace(start, encoder=encoder.state_dict(), encoder_patients=pretrained.patients)


def _refuse_other_classes(trained: Checkpoint, dataset: FrameDataset, run: RunFolder) -> None:
    """`UserError` where the annotation file numbers the regions otherwise than when the run was trained."""
    if trained.class_names not in ([], list(dataset.classes.names)):
        raise UserError(
            f"{run.best}: was trained on the classes {', '.join(trained.class_names)}, in this order of their ids; the "
            f"annotation file has {', '.join(dataset.classes.names)}"
        )
