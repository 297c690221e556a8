"""The flags of the three entry scripts, and how they end."""

import argparse
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args

from src.errors import UserError, some
from src.places import RunFiles, pooled_in
from src.settings import (
    REPOSITORY,
    TASKS,
    ClassificationSettings,
    DecoderRunSettings,
    DecoderSettings,
    LatentSettings,
    Modality,
    Protocol,
    RunSettings,
    SegmentationSettings,
)
from src.settings.file import load

S = TypeVar("S", bound=RunSettings)

_KFOLD_FIRST = "the same script with --protocol kfold makes one, such as kfold_5 below its output root"
AFTER_INTERRUPTION = "a training goes on where it stopped with the same command and --resume"


@dataclass(frozen=True)
class Arguments:
    """The command line, parsed."""

    cfg_path: Path
    mode: str
    overrides: tuple[str, ...]
    device: str
    resume: bool
    overwrite: bool
    encoder: Modality
    decoder: Modality = "heat"
    encoder_ckpt_root: Path | None = None
    encoder_overrides: tuple[str, ...] = ()
    seeds: int = 1
    baselines: bool = False
    names_run: bool = False
    """Whether a flag says which settings, and with them which run, is meant."""
    input: Path | None = None
    output: Path | None = None
    run: Path | None = None
    """Folder of the run that predicts, where it is named itself instead of by its settings."""
    export_latents: bool = False
    clusters: int | None = None


def parse_latent(description: str) -> Arguments:
    """Flags of main_latent.py."""
    parser = argparse.ArgumentParser(description=description)
    _add_gray(parser, "encoder", ("--gray",), "gray frames instead of heat maps")
    parser.add_argument("--export-latents", action="store_true", help="write the test frames' latents, float16")
    parser.add_argument("--clusters", type=int, metavar="K", help="write a k-means segmentation of the test frames")
    return _parse(parser)


def parse_decoder(description: str) -> Arguments:
    """Flags of main_binary.py and main_seg.py."""
    parser = argparse.ArgumentParser(description=description)
    _add_gray(parser, "encoder", ("--gray_encoder", "--gray-encoder"), "an encoder trained on gray frames")
    _add_gray(parser, "decoder", ("--gray_decoder", "--gray-decoder"), "gray frames for the decoder")
    add, root = parser.add_argument, "folder of dmr_runs and dmr_runs_gray (default: output_root)"
    add("--encoder-ckpt-root", type=Path, metavar="DIR", help=root)
    add("--protocol", choices=get_args(Protocol), help="as the setting; pretrains the encoders it needs")
    add("--folds", type=int, metavar="K", help="as the setting")
    add("--seeds", type=int, default=1, metavar="N", help="repeat with N seeds, encoder included")
    add("--baselines", action="store_true", help="train baselines too, on the same split and budget")
    words = "settings of the encoders that --protocol and --seeds pretrain"
    _add_settings(parser, "--encoder-set", "encoder_overrides", words)
    add("--input", type=Path, metavar="PATH", help="with --mode predict: a folder of frames, or a file")
    add("--output", type=Path, metavar="DIR", help="a new folder (default: predictions in the run's)")
    add("--run", type=Path, metavar="DIR", help="with --mode predict: folder of the run that answers")
    ensemble = "with --mode predict: a folder of k-fold, such as kfold_5, whose models answer together"
    add("--ensemble", type=Path, metavar="DIR", help=ensemble)
    return _parse(parser, ("train", "test", "predict"))


def _add_gray(parser: argparse.ArgumentParser, part: str, flags: Sequence[str], words: str) -> None:
    """Flags that turn a part's modality from heat to gray."""
    parser.add_argument(*flags, action="store_const", const="gray", default="heat", dest=part, help=words)


def _add_settings(parser: argparse.ArgumentParser, flag: str, name: str, words: str) -> None:
    """A flag of 'key=value' texts."""
    parser.add_argument(flag, nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest=name, help=words)


def _parse(parser: argparse.ArgumentParser, modes: tuple[str, ...] = ("train", "test")) -> Arguments:
    add = parser.add_argument
    add("--cfg-path", type=Path, metavar="DIR", help="folder of the YAML (default: the repository's config)")
    words = "train and then test, or test only" + (", or predict frames of one's own" if "predict" in modes else "")
    add("--mode", choices=modes, default="train", help=words)
    _add_settings(parser, "--set", "overrides", "win over the YAML")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where the run in the folder stopped")
    again.add_argument("--overwrite", action="store_true", help="remove the run in the folder and start afresh")
    flags, unknown = parser.parse_known_args()
    if unknown:
        parser.error(_unknown(unknown))
    given: dict[str, Any] = vars(flags)
    given |= {key: tuple(value) for key, value in given.items() if isinstance(value, list)}
    chosen = {name: given.pop(name, None) for name in ("protocol", "folds")}
    ensemble = given.pop("ensemble", None)
    given["overrides"] += tuple(f"{name}={value}" for name, value in chosen.items() if value is not None)
    gray = "gray" in (given.get("encoder"), given.get("decoder"))
    given["names_run"] = given["cfg_path"] is not None or bool(given["overrides"]) or gray
    given["cfg_path"] = given["cfg_path"] or REPOSITORY / "config"
    arguments = Arguments(**given)
    _refuse_contradictions(parser, arguments, chosen, ensemble)
    return replace(arguments, run=arguments.run or ensemble)


def _refuse_contradictions(
    parser: argparse.ArgumentParser, flags: Arguments, chosen: Mapping[str, Any], ensemble: Path | None
) -> None:
    """End with one line where flags do not go together; `chosen`: those that stand for settings."""
    if (flags.resume or flags.overwrite) and flags.mode != "train":
        parser.error(f"--{'resume' if flags.resume else 'overwrite'} goes with --mode train")
    if flags.seeds < 1:
        parser.error("--seeds: at least 1 is accepted")
    trains = bool(flags.encoder_overrides) or flags.baselines
    unanswered = any(chosen.values()) and chosen["protocol"] not in ("final", "kfold")
    if flags.mode == "predict" and (trains or unanswered or flags.seeds > 1):
        parser.error("--mode predict: answers with one run, or with --protocol final or kfold; --run DIR names any")
    if flags.mode != "train" and flags.encoder_ckpt_root is not None:
        parser.error("--encoder-ckpt-root: goes with --mode train; a trained run holds its encoder")
    if ensemble is not None and (flags.run or RunFiles(ensemble).best.is_file()):
        parser.error("--ensemble: names a folder of k-fold, in place of --run, which names one run")
    if ensemble is not None and not pooled_in(ensemble):
        near = [str(path) for path in sorted(ensemble.glob("kfold_*"))]
        parser.error(f"--ensemble: {ensemble}: no finished k-fold; " + (f"name {some(near)}" if near else _KFOLD_FIRST))
    run = flags.run or ensemble
    if (flags.mode == "predict") != (flags.input is not None) or ((flags.output or run) and flags.mode != "predict"):
        parser.error("--mode predict needs --input PATH; --input, --output, --run and --ensemble go with it")
    if flags.clusters is not None and not 2 <= flags.clusters <= 256:
        parser.error("--clusters: 2 to 256 are accepted")
    if run and flags.names_run:
        parser.error("--run: says by itself which run is meant; leave out --cfg-path, --set, --protocol and --gray_...")


def _unknown(arguments: Sequence[str]) -> str:
    """Words for arguments that no flag takes; settings are often tried as flags."""
    name = arguments[0].lstrip("-").partition("=")[0].replace("-", "_")
    keys = {key for kind in TASKS.values() for key in kind.model_fields}
    near = [name] if name in keys else difflib.get_close_matches(name, sorted(keys), n=1)
    hint = f"; a setting goes with --set, as in --set {near[0]}=VALUE" if near else ""
    return f"unrecognized arguments: {' '.join(arguments)}{hint}"


def named(overrides: Sequence[str]) -> set[str]:
    """The settings that 'key=value' texts name."""
    return {override.partition("=")[0].strip() for override in overrides}


def asked(arguments: Arguments, settings: RunSettings) -> dict[str, Any]:
    """What the command line alone says of the settings, as JSON has it."""
    # What the final model has its own way, whatever the settings say.
    own = {"select_by", "patience", "transductive"} if getattr(settings, "protocol", None) == "final" else set()
    return settings.model_dump(mode="json", include=named(arguments.overrides) - own)


def run_to_predict_with(arguments: Arguments, settings: DecoderRunSettings) -> Path | None:
    """The run that is named, itself or by the settings; None, for the weights that ship, where none is.

    Without a word on the protocol, and without a run of one holdout split, it is the final model's, where there is one.
    """
    if arguments.run is not None:
        return arguments.run
    run, final = settings.protocol_root / settings.run_name, settings.output_root / "final" / settings.run_name
    is_trained = RunFiles(run).best.is_file()
    if settings.protocol == "holdout" and not is_trained and RunFiles(final).best.is_file():
        return final
    return run if arguments.names_run or is_trained else None


def latent_settings(arguments: Arguments) -> LatentSettings:
    name = "dmr_cfg_gray.yaml" if arguments.encoder == "gray" else "dmr_cfg.yaml"
    settings = _load(arguments, name, LatentSettings)
    if settings.modality != arguments.encoder:
        raise UserError(f"{name}: modality: '{settings.modality}': the flags ask for '{arguments.encoder}'")
    return settings


def classification_settings(arguments: Arguments) -> ClassificationSettings:
    return _decoder_settings(arguments, "classification", ClassificationSettings)


def segmentation_settings(arguments: Arguments) -> SegmentationSettings:
    return _decoder_settings(arguments, "seg", SegmentationSettings)


def _decoder_settings(arguments: Arguments, task: str, kind: type[S]) -> S:
    name = f"dmr_{task}_{arguments.encoder[0]}_enc_{arguments.decoder[0]}_dec.yaml"
    settings = _load(arguments, name, kind)
    if isinstance(settings, DecoderSettings):
        found = (settings.encoder_modality, settings.decoder_modality)
        if found != (arguments.encoder, arguments.decoder):
            raise UserError(f"{name}: encoder_modality, decoder_modality: {found}: the flags ask for the file's name")
        if settings.protocol not in ("kfold", "final") and "folds" in named(arguments.overrides):
            raise UserError(f"folds: goes with protocol: kfold, not with {settings.protocol}")
    return settings


def _load(arguments: Arguments, name: str, kind: type[S]) -> S:
    # A prediction reads frames of its own, so that the data folder of the training need not be there.
    unread = [f"dataset_path={json.dumps(str(REPOSITORY))}"] if arguments.mode == "predict" else []
    settings = load(arguments.cfg_path / name, [*arguments.overrides, *unread])
    if not isinstance(settings, kind):
        raise UserError(f"{arguments.cfg_path / name}: task: '{settings.task}': these settings are for another script")
    return settings
