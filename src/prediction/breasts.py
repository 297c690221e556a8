"""The segmenter that a classifier with `head: spots` sees through."""

import logging
from dataclasses import replace
from pathlib import Path

from src.datasets import splits
from src.datasets.build import Parts
from src.datasets.snapshots import DEFAULT_PALETTE
from src.datasets.torch_datasets import DiagnosisDataset, assumed_palette
from src.errors import UserError
from src.networks import checkpoint as checkpoints
from src.networks.build import breast_maps
from src.networks.checkpoint import Checkpoint
from src.networks.decoder_input import BreastMaps
from src.prediction.trained import load_trained
from src.settings import BASELINES, WITHOUT_ENCODER, ClassificationSettings
from src.training.engine import blank_checkpoint
from src.training.run_folder import RunFolder

logger = logging.getLogger(__name__)


def frozen_breasts(
    mode: str, root: Path | None, settings: ClassificationSettings, parts: Parts[DiagnosisDataset], run: RunFolder
) -> tuple[BreastMaps, Checkpoint]:
    """What the classifier sees, and the checkpoint that its weights go into or come from.

    To train, the segmenter is that of the same case below `root` (the settings' output_root by default), refused if its
    run did not leave out all test patients of this one; to test, it is the very one that the run was trained on.
    """
    size = parts.train.image_size
    if mode == "test":
        trained = checkpoints.load(run.best)
        checkpoints.refuse_other_networks(trained.settings, settings, run.best)
        return breast_maps(trained, settings, run.best), trained
    folder = RunFolder((root or settings.output_root) / settings.segmenter_name)
    if not folder.is_finished:
        flags = [f"--gray_{name}" for name in ("encoder", "decoder") if getattr(settings, f"{name}_modality") == "gray"]
        command = " ".join(["python main_seg.py", *flags])
        raise UserError(
            f"{folder.root}: no segmenter there, which head: spots needs; train it first: {command}, with the same "
            "--cfg-path, output_root, --protocol, --folds and --seeds"
        )
    segmenter = load_trained(folder.root, "segmentation", "cpu")
    if segmenter.size != size:
        raise UserError(f"{folder.root}: finds regions in frames of {segmenter.size}, not of {size}")
    found = checkpoints.load(folder.best)
    left_out = set(splits.load(folder.split).test) - set(found.patients)
    seen = sorted(set(parts.test.patients) - left_out)
    if seen and settings.protocol != "published":  # which divides the segmenter's frames, whoever they are of
        raise UserError(
            f"{folder.root}: did not leave out {len(seen)} of this run's test patients (such as {seen[0]}): train it "
            "again with this output_root's split"
        )
    # Before pixels, random encoders and the one that ships no patient was seen, which need not be said.
    unseen = found.settings.get("decoder_input") in (*BASELINES, *WITHOUT_ENCODER)
    if found.encoder_patients or not (unseen or found.settings.get("encoder") == "taught"):
        encoder = Checkpoint(model={}, patients=found.encoder_patients)
        checkpoints.refuse_leak(encoder, set(parts.test.patients), settings.transductive)
    known = None if settings.palette is not None else segmenter.record.palette
    palette = known or assumed_palette(parts.train, parts.test.patients, settings.palette) or DEFAULT_PALETTE
    names = list(segmenter.record.class_names)
    frozen = {"model": found.model, "settings": found.settings, "names": names, "palette": palette}
    blank = replace(
        blank_checkpoint(settings, parts),
        encoder=found.encoder,
        encoder_patients=found.encoder_patients,
        segmenter=frozen,
    )
    return breast_maps(blank, settings, folder.best), blank
