"""One trial of several: an ordinary run in an output root of its own, its encoder first where it needs one."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from src import cli
from src.datasets.build import Parts, build_diagnoses, build_regions
from src.networks import checkpoint as checkpoints
from src.settings import (
    ClassificationSettings,
    DecoderRunSettings,
    LatentSettings,
    RunSettings,
    SegmentationSettings,
    Settings,
    encoder_run_name,
    with_defaults,
)
from src.settings.fields import Kind, fields_of
from src.training import distributed
from src.training.regressions import REGRESSIONS
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

S = TypeVar("S", ClassificationSettings, SegmentationSettings)

OF_DECODER = fields_of(Settings, Kind.DATA, Kind.PLACE, Kind.MACHINE) | {"encoder", "precision"}
"""What a trial's encoder takes from its decoder's settings; all else is its own, so that both tasks can share it."""


@dataclass(frozen=True)
class Trial:
    """One training of several."""

    seed: int
    fold: int | None
    root: Path  # its output root


def trial_of(settings: DecoderRunSettings, seed: int, fold: int) -> Trial:
    """One trial of the settings' protocol; `fold` counts from 1 where it has folds."""
    in_folds = settings.protocol == "kfold"
    root = place(settings) / f"seed_{seed}" / (f"fold_{fold}" if in_folds else "")
    return Trial(seed, fold if in_folds else None, root)


def place(settings: DecoderRunSettings) -> Path:
    """Where the trials of a protocol go."""
    return settings.output_root / "seeds" if settings.protocol == "holdout" else settings.protocol_root


def run_trial(
    trial: Trial,
    settings: S,
    arguments: cli.Arguments,
    train_and_test: Callable[[S, cli.Arguments], None],
    pretrain: Callable[[LatentSettings, cli.Arguments], None],
) -> bool:
    """Train (or test) one trial, its encoder first where it needs one; what is finished stays with `--resume`.

    Returns whether there was anything to do.
    """
    changes = {"output_root": trial.root, "seed": trial.seed, "cache_folder": settings.frame_cache}
    own = settings.model_copy(update=changes)
    if arguments.mode == "train" and own.pretrains_encoder:
        _pretrain(own, arguments, pretrain)
    may_skip = settings.protocol != "final"  # which takes anew what k-fold says by now
    skips = arguments.mode == "train" and arguments.resume and may_skip and _is_finished(own, arguments)
    if skips:
        logger.warning("%s: finished already", trial.root / own.run_name)
    else:
        train_and_test(own, arguments)
    distributed.wait_for_all()
    return not skips


def _is_finished(settings: DecoderRunSettings, arguments: cli.Arguments) -> bool:
    """Whether a trial's run was trained with these settings and this encoder, and tested, with all asked for."""
    run = RunFolder(settings.output_root / settings.run_name)
    needed = [run.best, run.last]
    if arguments.baselines and isinstance(settings, ClassificationSettings) and not settings.baseline:
        needed += [RunFolder(run.root / "baselines" / name).metrics for name in REGRESSIONS]
    if not run.is_finished or not all(path.exists() for path in needed):
        return False
    trained = checkpoints.load(run.last)
    if not _made_with(settings, trained.settings):
        return False
    if trained.data != _parts_of(settings).digests():
        return False  # which says why as soon as it is to be resumed
    if not settings.needs_encoder:
        return True
    encoder, _ = checkpoints.load_encoder(settings.output_root, settings.encoder_modality, settings.encoder)
    kept, now = trained.encoder or {}, encoder.state_dict()
    if settings.decoder_input == "random":  # of the size of the pretrained one
        return {key: value.shape for key, value in kept.items()} == {key: value.shape for key, value in now.items()}
    return checkpoints.same_weights(trained.encoder, now)


def _parts_of(settings: DecoderRunSettings) -> Parts[Any]:
    return build_regions(settings) if isinstance(settings, SegmentationSettings) else build_diagnoses(settings)


def _made_with(settings: RunSettings, recorded: Mapping[str, Any]) -> bool:
    """Whether the settings that a checkpoint records give the run that these give."""
    known, free = with_defaults(recorded), fields_of(type(settings), Kind.MACHINE)
    return all(known.get(key) == value for key, value in settings.model_dump(mode="json").items() if key not in free)


def _pretrain(
    settings: DecoderRunSettings, arguments: cli.Arguments, pretrain: Callable[[LatentSettings, cli.Arguments], None]
) -> None:
    """Pretrain the encoder of a trial, unless a finished one has the same settings."""
    # The file may name a data folder that is not there.
    overrides = (*arguments.encoder_overrides, f"dataset_path={json.dumps(str(settings.dataset_path))}")
    ours = replace(arguments, overrides=overrides, encoder=settings.encoder_modality)
    latent = cli.latent_settings(ours)
    latent = latent.model_copy(update={name: getattr(settings, name) for name in OF_DECODER})
    folder = RunFolder(settings.output_root / encoder_run_name(settings.encoder_modality))
    if folder.is_finished and _made_with(latent, checkpoints.load(folder.last).settings):
        return
    pretrain(latent, ours)
    distributed.wait_for_all()
