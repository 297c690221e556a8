"""The flags of the three entry scripts, and how they end."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, get_args

from src.errors import UserError
from src.settings import (
    REPOSITORY,
    ClassificationSettings,
    DecoderSettings,
    LatentSettings,
    Modality,
    Protocol,
    RunSettings,
    SegmentationSettings,
    load,
)

S = TypeVar("S", bound=RunSettings)


@dataclass(frozen=True)
class Arguments:
    """The command line, parsed."""

    cfg_path: Path
    mode: str
    overrides: tuple[str, ...]
    device: str
    resume: bool
    encoder: Modality
    decoder: Modality
    encoder_ckpt_root: Path | None
    encoder_overrides: tuple[str, ...] = ()
    seeds: int = 1


def parse_latent(description: str) -> Arguments:
    """Flags of main_latent.py."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--gray", action="store_true", help="gray frames instead of heat maps")
    return _parse(parser)


def parse_decoder(description: str) -> Arguments:
    """Flags of main_binary.py and main_seg.py."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--gray_encoder", action="store_true", help="an encoder trained on gray frames")
    parser.add_argument("--gray_decoder", action="store_true", help="gray frames for the decoder")
    parser.add_argument(
        "--encoder-ckpt-root",
        type=Path,
        metavar="DIR",
        help="folder that holds dmr_runs and dmr_runs_gray (default: the settings' output_root)",
    )
    parser.add_argument(
        "--protocol", choices=get_args(Protocol), help="as the setting; pretrains the encoders it needs"
    )
    parser.add_argument("--folds", type=int, metavar="K", help="as the setting")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="repeat with N seeds, encoder included")
    parser.add_argument(
        "--encoder-set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="settings of the encoders that --protocol and --seeds pretrain",
    )
    return _parse(parser)


def _parse(parser: argparse.ArgumentParser) -> Arguments:
    parser.add_argument(
        "--cfg-path", type=Path, default=REPOSITORY / "config", metavar="DIR", help="folder of the YAML"
    )
    parser.add_argument("--mode", choices=("train", "test"), default="train", help="train and then test, or test only")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="overrides", help="win over the YAML"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--resume", action="store_true", help="go on after the last finished epoch")
    flags = parser.parse_args()
    if flags.resume and flags.mode == "test":
        parser.error("--resume goes with --mode train")
    if getattr(flags, "seeds", 1) < 1:
        parser.error("--seeds: at least 1 is accepted")
    chosen = {name: getattr(flags, name, None) for name in ("protocol", "folds")}
    overrides = [*flags.overrides, *(f"{name}={value}" for name, value in chosen.items() if value is not None)]
    gray = {name: getattr(flags, name, False) for name in ("gray", "gray_encoder", "gray_decoder")}
    return Arguments(
        cfg_path=flags.cfg_path,
        mode=flags.mode,
        overrides=tuple(overrides),
        device=flags.device,
        resume=flags.resume,
        encoder="gray" if gray["gray"] or gray["gray_encoder"] else "heat",
        decoder="gray" if gray["gray_decoder"] else "heat",
        encoder_ckpt_root=getattr(flags, "encoder_ckpt_root", None),
        encoder_overrides=tuple(getattr(flags, "encoder_set", ())),
        seeds=getattr(flags, "seeds", 1),
    )


def latent_settings(arguments: Arguments) -> LatentSettings:
    """Settings of the file that the flags choose."""
    name = "dmr_cfg_gray.yaml" if arguments.encoder == "gray" else "dmr_cfg.yaml"
    settings = _load(arguments, name, LatentSettings)
    if settings.modality != arguments.encoder:
        raise UserError(f"{name}: modality: '{settings.modality}': the flags ask for '{arguments.encoder}'")
    return settings


def classification_settings(arguments: Arguments) -> ClassificationSettings:
    """Settings of the file that the flags choose."""
    return _decoder_settings(arguments, "classification", ClassificationSettings)


def segmentation_settings(arguments: Arguments) -> SegmentationSettings:
    """Settings of the file that the flags choose."""
    return _decoder_settings(arguments, "seg", SegmentationSettings)


def _decoder_settings(arguments: Arguments, task: str, kind: type[S]) -> S:
    name = f"dmr_{task}_{arguments.encoder[0]}_enc_{arguments.decoder[0]}_dec.yaml"
    settings = _load(arguments, name, kind)
    if isinstance(settings, DecoderSettings):
        found = (settings.encoder_modality, settings.decoder_modality)
        if found != (arguments.encoder, arguments.decoder):
            raise UserError(f"{name}: encoder_modality, decoder_modality: {found}: the flags ask for the file's name")
    return settings


def _load(arguments: Arguments, name: str, kind: type[S]) -> S:
    settings = load(arguments.cfg_path / name, arguments.overrides)
    if not isinstance(settings, kind):
        raise UserError(f"{arguments.cfg_path / name}: task: '{settings.task}': these settings are for another script")
    return settings
