"""The settings of all three scripts, each key with its default and what it means. `settings.file` reads them."""

from collections.abc import Mapping
from typing import Any

from src.settings.common import FRAME_SIZE, EncoderKind, Modality, Precision, Settings
from src.settings.decoders import (
    BASELINES,
    WITHOUT_ENCODER,
    Augment,
    ClassificationSettings,
    Decide,
    DecoderSettings,
    Protocol,
    Schedule,
    SegmentationSettings,
)
from src.settings.encoder import LatentSettings, encoder_run_name
from src.settings.fields import REPOSITORY

__all__ = [
    "BASELINES",
    "FRAME_SIZE",
    "REPOSITORY",
    "TASKS",
    "WITHOUT_ENCODER",
    "Augment",
    "ClassificationSettings",
    "Decide",
    "DecoderRunSettings",
    "DecoderSettings",
    "EncoderKind",
    "LatentSettings",
    "Modality",
    "Precision",
    "Protocol",
    "RunSettings",
    "Schedule",
    "SegmentationSettings",
    "Settings",
    "encoder_run_name",
    "with_defaults",
]

DecoderRunSettings = ClassificationSettings | SegmentationSettings
RunSettings = LatentSettings | DecoderRunSettings
TASKS: dict[str, type[RunSettings]] = {
    "latent": LatentSettings,
    "classification": ClassificationSettings,
    "segmentation": SegmentationSettings,
}


def with_defaults(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a checkpoint records them, with the defaults of keys that are newer than the checkpoint."""
    kind = TASKS.get(str(recorded.get("task")))
    if kind is None:
        return dict(recorded)
    blank = kind.model_construct().model_dump(mode="json", warnings=False)
    if "baseline" in blank:  # before it was a setting, decoders that see these were nothing else
        blank["baseline"] = recorded.get("decoder_input") in tuple(BASELINES)
    return {key: value for key, value in blank.items() if not kind.model_fields[key].is_required()} | dict(recorded)
