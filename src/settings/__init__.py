"""The settings of all three scripts, each key with its default and what it means. `settings.file` reads them."""

from collections.abc import Mapping
from typing import Any

from src.settings.common import FRAME_SIZE as FRAME_SIZE
from src.settings.common import EncoderKind as EncoderKind
from src.settings.common import Modality as Modality
from src.settings.common import Precision as Precision
from src.settings.common import Settings as Settings
from src.settings.decoders import BASELINES as BASELINES
from src.settings.decoders import WITHOUT_ENCODER as WITHOUT_ENCODER
from src.settings.decoders import Augment as Augment
from src.settings.decoders import ClassificationSettings as ClassificationSettings
from src.settings.decoders import Decide as Decide
from src.settings.decoders import DecoderSettings as DecoderSettings
from src.settings.decoders import Protocol as Protocol
from src.settings.decoders import Schedule as Schedule
from src.settings.decoders import SegmentationSettings as SegmentationSettings
from src.settings.encoder import LatentSettings as LatentSettings
from src.settings.encoder import encoder_run_name as encoder_run_name
from src.settings.fields import REPOSITORY as REPOSITORY

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
