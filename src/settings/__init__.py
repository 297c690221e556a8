"""The settings of all three scripts, each key with its default and what it means. `settings.file` reads them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.errors import UserError, one_line
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


def refuse_unknown(recorded: Mapping[Any, Any], path: Path) -> None:
    """`UserError` where a run records a setting that there is no more: without it, it would mean something else."""
    task = recorded.get("task")
    known = TASKS[task].model_fields if isinstance(task, str) and task in TASKS else recorded
    unknown = sorted(key for key in recorded if isinstance(key, str) and key not in known)
    if unknown:
        raise UserError(
            f"{path}: trained by an earlier version, whose settings are not read any more (such as "
            f"{one_line(unknown[0], 100)}): train again in another output_root; commit dd46a75 has those that "
            "docs/results.md lists"
        )


def with_defaults(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a checkpoint records them, with the defaults of keys that are newer than the checkpoint."""
    kind = TASKS.get(str(recorded.get("task")))
    if kind is None:
        return dict(recorded)
    blank = kind.model_construct().model_dump(mode="json", warnings=False)
    return {key: value for key, value in blank.items() if not kind.model_fields[key].is_required()} | dict(recorded)
