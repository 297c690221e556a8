"""Checkpoints: ours with their settings, and the bare state dicts of the authors' code."""

import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field, NonNegativeInt, TypeAdapter, ValidationError, with_config
from torch import nn

from src.datasets.frame_cache import CHANNELS
from src.datasets.snapshots import DEFAULT_PALETTE, PALETTES
from src.encoder import CUTSEncoder
from src.errors import UserError, refuse_failing_device
from src.files import atomic_write
from src.networks.features import TaughtEncoder
from src.networks.taught import read_taught
from src.places import RunFiles
from src.settings import EncoderKind, Modality, Settings, encoder_run_name, refuse_unknown, with_defaults
from src.settings.fields import Kind, fields_of

logger = logging.getLogger(__name__)

FORMAT = "llft-1"
State = dict[str, torch.Tensor]
Palette = Annotated[str, Field(pattern=f"^({'|'.join(PALETTES)})$")]
_MOST_VALUES = 1_000_000  # numbers, texts and tensors in one file; a long history has some ten thousand


def _whole(begun: dict[str, Any]) -> dict[str, Any]:
    kinds = {"step": int, "frames": int, "sums": dict, "state": torch.Tensor}
    if begun.keys() != kinds.keys() or not all(isinstance(begun[key], kind) for key, kind in kinds.items()):
        raise ValueError("not how far an epoch is")
    return begun


@with_config(strict=True, arbitrary_types_allowed=True, revalidate_instances="always")
@dataclass
class Checkpoint:
    """What a run needs to be tested, used or gone on with."""

    model: State
    settings: dict[str, Any] = field(default_factory=dict)
    patients: list[str] = field(default_factory=list)  # those it was trained or chosen on
    validation: list[str] = field(default_factory=list)  # those of them it was chosen on
    data: dict[str, str] = field(default_factory=dict)
    """Digests of the frames and labels it was trained, chosen and tested on (`Parts.digests`)."""
    class_names: list[str] = field(default_factory=list)  # a segmenter's, in the order of its outputs
    encoder: State | None = None  # the frozen encoder under a decoder, or the networks that find the features it sees
    encoder_patients: list[str] = field(default_factory=list)
    """Those that encoder was pretrained or chosen on, where it says so."""
    palette: Palette | None = None  # what the heat maps are read back to levels through, where the networks see levels
    epoch: NonNegativeInt = 0
    best_epoch: NonNegativeInt = 0
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry a finished epoch: what metrics.jsonl holds
    optimizer: dict[str, Any] | None = None
    begun: Annotated[dict[str, Any], AfterValidator(_whole)] | None = None
    """How far the epoch after `epoch` is, where its steps are in `model` and `optimizer` already: `engine.Progress`."""
    seconds: float = 0.0  # time that training took until here, with all interruptions left out


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically: the file is the old or the new one, whole."""
    with atomic_write(path) as file:
        torch.save({"format": FORMAT, **checkpoint.__dict__}, file)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint of ours or a bare state dict, as tensors and plain values only.

    Raises `UserError` where the file is missing, damaged or holds something else.
    """
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint there")
    content = load_plain(path)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        del content["format"]
        known = {each.name for each in fields(Checkpoint)}
        content = {name: value for name, value in content.items() if name in known or value is not None}
        if isinstance(content.get("settings"), dict):
            refuse_unknown(content["settings"], path)
        try:
            checkpoint = Checkpoint(**content)
        except TypeError as error:
            raise UserError(f"{path}: no checkpoint of this version, train again: {error}") from None
        _check_types(checkpoint, path)
        return checkpoint
    if _is_state(content) and content:
        return Checkpoint(model=content)
    raise UserError(f"{path}: neither a checkpoint of this code nor a state dict")


def load_plain(path: Path) -> Any:
    """What `torch.save` wrote, as tensors and plain values only; no code in the file is run.

    Raises `UserError` where the file is damaged, would take more memory than it is long, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # torch stores its tensors as they are. A compressed one could be a thousand times as large in memory.
            if any(entry.file_size > entry.compress_size for entry in archive.infolist()):
                raise ValueError("holds compressed entries")
            if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                raise ValueError("holds entries that overlap")
        content = torch.load(path, map_location="cpu", weights_only=True)
        _refuse_odd_tensors(content)
    except Exception as error:  # torch raises many kinds here: pickle, zip, runtime and key errors
        if isinstance(error, OSError):
            refuse_failing_device(error, path)
        raise UserError(
            f"{path}: damaged, or no checkpoint: {str(error).split(chr(10))[0] or type(error).__name__}"
        ) from None
    return content


def _refuse_odd_tensors(content: Any) -> None:
    """ValueError for tensors that are larger than their storage, as a view that repeats one value a billion times."""
    left, seen = [content], 0
    while left:
        value = left.pop()
        seen += 1
        if seen > _MOST_VALUES:  # or one list that holds itself, or another twice that holds another twice, and so on
            raise ValueError("holds more values than any checkpoint")
        if isinstance(value, torch.Tensor):
            plain = value.layout == torch.strided and value.device.type == "cpu"
            plain = plain and not (value.is_quantized or value.is_complex())
            if not plain or value.nbytes > value.untyped_storage().nbytes():
                raise ValueError("holds tensors of no plain kind")
        elif isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            left += value


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items()
    )


def _check_types(checkpoint: Checkpoint, path: Path) -> None:
    """`UserError` names the first entry that is not of its type."""
    try:
        TypeAdapter(Checkpoint).validate_python(checkpoint)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UserError(f"{path}: no checkpoint of this code: its {wrong['loc'][0]}: {wrong['msg'].lower()}") from None


def same_weights(one: State | None, other: State | None) -> bool:
    """Whether two sets of weights are equal to the bit; None for no weights."""
    if one is None or other is None:
        return one is other
    return one.keys() == other.keys() and all(torch.equal(value, other[key].cpu()) for key, value in one.items())


def restore(model: nn.Module, state: State, path: Path) -> None:
    """Load weights; `UserError` where they are of a model of other sizes than the settings ask for."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise UserError(f"{path}: does not fit the model of these settings: {detail}") from None


def as_encoder(state: State, path: Path, palette: str = DEFAULT_PALETTE) -> CUTSEncoder | TaughtEncoder:
    """A frozen encoder from its weights, which tell the kind; `UserError` if they are not one's.

    A taught one reads heat maps back through `palette`.
    """
    try:
        if TaughtEncoder.owns(state):
            return TaughtEncoder.from_state_dict(state, palette)
        return CUTSEncoder.from_state_dict(state).freeze()
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def load_encoder(
    root: Path, modality: Modality, kind: EncoderKind = "cuts"
) -> tuple[CUTSEncoder | TaughtEncoder, Checkpoint]:
    """The encoder of a modality from the folder that holds `dmr_runs` and `dmr_runs_gray`, frozen.

    Where there is none, `taught` is the one that ships, since nothing had to be trained for it; otherwise that, and one
    of another kind, raises `UserError` that names the command to run first.
    """
    run, command = RunFiles(root / encoder_run_name(modality)), _encoder_command(modality, kind)
    path = run.best
    refuse_missing_encoder(root, modality, kind)
    if not path.is_file():
        return TaughtEncoder.from_taught(read_taught()), Checkpoint(model={})
    checkpoint = load(path)
    encoder = as_encoder(checkpoint.model, path, checkpoint.palette or DEFAULT_PALETTE)
    found = "taught" if isinstance(encoder, TaughtEncoder) else "cuts"
    if found != kind:
        raise UserError(f"{path}: encoder: {found} there, {kind} in the settings; this makes one: {command}")
    if found == "taught" and not same_weights(checkpoint.model, TaughtEncoder.weights_in(read_taught())):
        logger.warning("%s: not the weights that ship today; to take these: %s, and --overwrite", path, command)
    if run.last.exists() and not run.metrics.exists():
        logger.warning("%s: its training is not finished; main_latent.py --resume goes on with it", path)
    if encoder.in_channels not in (None, CHANNELS[modality]):
        raise UserError(f"{path}: an encoder of {encoder.in_channels} channels, not of {modality} frames")
    return encoder, checkpoint


def refuse_missing_encoder(root: Path, modality: Modality, kind: EncoderKind) -> None:
    """`UserError` where `load_encoder` would find none, which can be known before any frame is read."""
    path = RunFiles(root / encoder_run_name(modality)).best
    if kind != "taught" and not path.is_file():
        command = _encoder_command(modality, kind)
        raise UserError(f"{path}: no {modality} encoder there; train it first: {command}")


def _encoder_command(modality: Modality, kind: EncoderKind) -> str:
    flag = " --gray" if modality == "gray" else ""
    command = f"python main_latent.py{flag}, with the same --cfg-path and output_root"
    return command + " and encoder: taught" * (kind == "taught")


def refuse_other_networks(recorded: Mapping[str, Any], settings: Settings, path: Path) -> None:
    """`UserError` where a run would be tested with other networks, or by another loss, than it was trained with."""
    fixed = fields_of(type(settings), Kind.NETWORK, Kind.LOSS)
    refuse_other_settings(recorded, settings.model_dump(mode="json", include=fixed), path)


def refuse_other_settings(recorded: Mapping[str, Any], asked: Mapping[str, Any], path: Path) -> None:
    """`UserError` where settings that a run was trained with are not those asked for; both as JSON has them."""
    trained = with_defaults(recorded)
    differing = {key: value for key, value in asked.items() if key in trained and trained[key] != value}
    changed = [f"{key}: {trained[key]} then, {value} now" for key, value in differing.items()]
    if changed:
        raise UserError(f"{path}: was trained with other settings: {'; '.join(changed)}")


def refuse_leak(encoder: Checkpoint, test_patients: set[str], transductive: bool) -> None:
    """`UserError` if the encoder was trained on patients that this run tests on, unless the settings allow it."""
    seen = sorted(set(encoder.patients) & test_patients)
    if seen and not transductive:
        raise UserError(
            f"the encoder was trained on {len(seen)} of this run's {len(test_patients)} test patients (such as "
            f"{seen[0]}): pretrain it again with this output_root's split, or say transductive: true"
        )
    if seen:
        logger.warning("transductive: the encoder saw %d of %d test patients", len(seen), len(test_patients))
    if not encoder.patients:
        logger.warning(
            "the encoder's checkpoint does not say on which patients it was trained: leaks cannot be ruled out"
        )
