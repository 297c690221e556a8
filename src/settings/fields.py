"""The types of the settings' fields, and what a field belongs to."""

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from src.errors import is_printable

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def _check_ratio(text: str) -> str:
    parts = text.split(":")
    if len(parts) != 2 or not all(re.fullmatch(r"\d{1,9}(\.\d{1,9})?", part) and float(part) > 0 for part in parts):
        raise ValueError("two positive numbers joined by a colon, such as '7:3', are accepted")
    return text


def _resolve(path: Path) -> Path:
    try:
        path = path.expanduser()
    except RuntimeError:  # '~name' of nobody
        raise ValueError("a path whose home folder exists is accepted") from None
    if not is_printable(str(path)):
        raise ValueError("a path without control characters is accepted")
    return path if path.is_absolute() else REPOSITORY / path


def _check_folder(path: Path) -> Path:
    path = _resolve(path)
    try:
        found = path.is_dir()
    except OSError as error:  # a name of more than 255 bytes, or a folder that may not be looked into
        raise ValueError(f"an existing folder is accepted ({error.strerror})") from None
    if not found:
        raise ValueError(f"an existing folder is accepted, there is none at {path}")
    return path


def _as_name(value: Any) -> Any:
    """A patient's folder may be called 1234, which YAML reads as a number."""
    return str(value) if type(value) is int else value


def _check_decoder(name: str) -> str:
    from model import DECODERS  # not above: the commands that need no network would wait for torch

    return _one_of(DECODERS, name)


def _check_loss(name: str) -> str:
    from src.losses import LOSSES

    return _one_of(LOSSES, name)


def _one_of(registry: Mapping[str, Any], name: str) -> str:
    if name not in registry:
        raise ValueError(f"one of {', '.join(registry)} is accepted")
    return name


DecoderName = Annotated[str, AfterValidator(_check_decoder)]
LossName = Annotated[str, AfterValidator(_check_loss)]
Ratio = Annotated[str, AfterValidator(_check_ratio)]
# YAML has neither paths nor tuples, so these two take what it has instead.
PathText = Annotated[Path, Field(strict=False)]
OutputFolder = Annotated[PathText, AfterValidator(_resolve)]
InputFolder = Annotated[PathText, AfterValidator(_check_folder)]
Side = Annotated[int, Field(ge=16, le=4096)]
Size = Annotated[tuple[Side, Side], Field(strict=False)]
Views = Annotated[tuple[int, ...], Field(strict=False)]
Names = Annotated[tuple[Annotated[str, BeforeValidator(_as_name)], ...], Field(strict=False)]
Weights = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(strict=False)]


class Kind(Enum):
    """What a field belongs to, from which follows where it must be equal and where it may be another."""

    NETWORK = "what the networks are, see and answer: the same in a test"
    LOSS = "what is minimised: the same in a test"
    DATA = "of the collection: one for an encoder and all decoders on it"
    PLACE = "where the collection lies: as DATA, but a prediction reads frames of its own"
    TRAINING = "how weights are found: the same when a run is resumed"
    LENGTH = "for how long: a resumed run may go on for longer"
    MACHINE = "where and how fast it is computed: changes no finished epoch"


T = TypeVar("T")
OfNetwork = Annotated[T, Kind.NETWORK]
OfLoss = Annotated[T, Kind.LOSS]
OfData = Annotated[T, Kind.DATA]
OfPlace = Annotated[T, Kind.PLACE]
OfTraining = Annotated[T, Kind.TRAINING]
OfLength = Annotated[T, Kind.LENGTH]
OfMachine = Annotated[T, Kind.MACHINE]


def fields_of(settings: type[BaseModel], *kinds: Kind) -> set[str]:
    """The names of the fields that belong to any of these."""
    # By identity: what else pydantic keeps there need not be comparable.
    return {
        name
        for name, field in settings.model_fields.items()
        if any(one is kind for one in field.metadata for kind in kinds)
    }
