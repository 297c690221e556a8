"""Settings that were measured not to help and are gone, and how those who have them are told."""

from collections.abc import Mapping
from typing import Any

from src.errors import one_line

_OF_TRAINING = {"ema": 0.0, "both_modalities": False, "contrastive": "pooled", "augment_variants": 0, "compile": False}
_OF_NETWORKS = {
    "coarse_latents": False,
    "normalize_latents": "none",
    "mirror": False,
    "ensemble": 1,
    "flip_average": False,
    "head": "flat",
}
REMOVED: dict[str, Any] = _OF_TRAINING | _OF_NETWORKS
"""Settings that were measured not to help and are gone, with the value that stood for their absence."""
REMOVED_VALUES = {"decoder_input": "both", "decide": "dice"}
"""Values that went with them."""
WAS_REMOVED = "was removed, since it was measured not to help (docs/results.md); commit dd46a75 has it"


def removed(recorded: Mapping[str, Any], of_training: bool = False) -> list[str]:
    """What recorded settings ask for of networks, or of their training, that is gone, each as 'key: value'."""
    absent: dict[str, Any] = _OF_TRAINING
    gone: Mapping[str, str] = {}
    if not of_training:
        mirrors = recorded.get("augment", "none") != "none"  # which averages over mirror images today
        absent, gone = _OF_NETWORKS | {"flip_average": mirrors}, REMOVED_VALUES
    found = [key for key, value in absent.items() if key in recorded and not _is(recorded[key], value)]
    found += [key for key, value in gone.items() if _is(recorded.get(key), value)]
    return [f"{key}: {one_line(str(recorded[key]), 100)}" for key in found]


def _is(found: Any, value: Any) -> bool:
    """Whether they are equal, where a damaged file may hold anything, tensors too."""
    return type(found) is type(value) and bool(found == value)
