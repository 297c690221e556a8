"""The flags of the three entry scripts, and how they end."""

import argparse
import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from src.errors import UserError, some
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

_ABSENT: dict[str, Any] = {
    "gray": False,
    "export_latents": False,
    "clusters": None,
    "gray_encoder": False,
    "gray_decoder": False,
    "encoder_ckpt_root": None,
    "encoder_set": (),
    "protocol": None,
    "folds": None,
    "seeds": 1,
    "baselines": False,
    "input": None,
    "output": None,
    "run": None,
    "ensemble": None,
}
"""The flags that only some of the scripts have, as they are where they are not given."""


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
    decoder: Modality
    encoder_ckpt_root: Path | None
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
    parser.add_argument("--gray", action="store_true", help="gray frames instead of heat maps")
    parser.add_argument("--export-latents", action="store_true", help="write the test frames' latents, float16")
    parser.add_argument("--clusters", type=int, metavar="K", help="write a k-means segmentation of the test frames")
    return _parse(parser)


def parse_decoder(description: str) -> Arguments:
    """Flags of main_binary.py and main_seg.py."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--gray_encoder", "--gray-encoder", action="store_true", help="an encoder trained on gray frames"
    )
    parser.add_argument("--gray_decoder", "--gray-decoder", action="store_true", help="gray frames for the decoder")
    parser.add_argument(
        "--encoder-ckpt-root",
        type=Path,
        metavar="DIR",
        help="folder of dmr_runs and dmr_runs_gray (default: output_root)",
    )
    parser.add_argument(
        "--protocol", choices=get_args(Protocol), help="as the setting; pretrains the encoders it needs"
    )
    parser.add_argument("--folds", type=int, metavar="K", help="as the setting")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="repeat with N seeds, encoder included")
    parser.add_argument("--baselines", action="store_true", help="train baselines too, on the same split and budget")
    parser.add_argument(
        "--encoder-set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="settings of the encoders that --protocol and --seeds pretrain",
    )
    parser.add_argument("--input", type=Path, metavar="PATH", help="with --mode predict: a folder of frames, or a file")
    parser.add_argument("--output", type=Path, metavar="DIR", help="a new folder (default: predictions in the run's)")
    parser.add_argument("--run", type=Path, metavar="DIR", help="with --mode predict: folder of the run that answers")
    ensemble = "with --mode predict: a folder of k-fold, such as kfold_5, whose models answer together"
    parser.add_argument("--ensemble", type=Path, metavar="DIR", help=ensemble)
    return _parse(parser, ("train", "test", "predict"))


def _parse(parser: argparse.ArgumentParser, modes: tuple[str, ...] = ("train", "test")) -> Arguments:
    parser.add_argument(
        "--cfg-path", type=Path, metavar="DIR", help="folder of the YAML (default: the repository's config)"
    )
    words = "train and then test, or test only" + (", or predict frames of one's own" if "predict" in modes else "")
    parser.add_argument("--mode", choices=modes, default="train", help=words)
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="overrides", help="win over the YAML"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on where the run in the folder stopped")
    again.add_argument("--overwrite", action="store_true", help="remove the run in the folder and start afresh")
    flags, unknown = parser.parse_known_args()
    if unknown:
        parser.error(_unknown(unknown))
    flags = argparse.Namespace(**(_ABSENT | vars(flags)))
    chosen = {"protocol": flags.protocol, "folds": flags.folds}
    overrides = [*flags.overrides, *(f"{name}={value}" for name, value in chosen.items() if value is not None)]
    names_run = flags.cfg_path is not None or bool(overrides) or flags.gray or flags.gray_encoder or flags.gray_decoder
    _refuse_contradictions(parser, flags, names_run)
    return Arguments(
        cfg_path=flags.cfg_path or REPOSITORY / "config",
        mode=flags.mode,
        overrides=tuple(overrides),
        device=flags.device,
        resume=flags.resume,
        overwrite=flags.overwrite,
        encoder="gray" if flags.gray or flags.gray_encoder else "heat",
        decoder="gray" if flags.gray_decoder else "heat",
        encoder_ckpt_root=flags.encoder_ckpt_root,
        encoder_overrides=tuple(flags.encoder_set),
        seeds=flags.seeds,
        baselines=flags.baselines,
        export_latents=flags.export_latents,
        clusters=flags.clusters,
        names_run=names_run,
        input=flags.input,
        output=flags.output,
        run=flags.run or flags.ensemble,
    )


def _refuse_contradictions(parser: argparse.ArgumentParser, flags: argparse.Namespace, names_run: bool) -> None:
    """End with one line where flags do not go together; `names_run`: whether some say which run is meant."""
    if (flags.resume or flags.overwrite) and flags.mode != "train":
        parser.error(f"--{'resume' if flags.resume else 'overwrite'} goes with --mode train")
    if flags.seeds < 1:
        parser.error("--seeds: at least 1 is accepted")
    several = [name for name in ("protocol", "folds", "encoder_set", "baselines") if getattr(flags, name)]
    answers = flags.protocol in ("final", "kfold") and set(several) <= {"protocol", "folds"}
    if flags.mode == "predict" and ((several and not answers) or flags.seeds > 1):
        parser.error("--mode predict: answers with one run, or with --protocol final or kfold; --run DIR names any")
    if flags.mode != "train" and flags.encoder_ckpt_root is not None:
        parser.error("--encoder-ckpt-root: goes with --mode train; a trained run holds its encoder")
    ensemble, run = flags.ensemble, flags.run or flags.ensemble
    if ensemble is not None and (flags.run or _is_trained(ensemble)):
        parser.error("--ensemble: names a folder of k-fold, in place of --run, which names one run")
    if ensemble is not None and not any(
        list(ensemble.glob(f"{of_task}results/trials.json")) for of_task in ("", "dmr_runs_*/")
    ):
        near = [str(path) for path in sorted(ensemble.glob("kfold_*"))]
        parser.error(f"--ensemble: {ensemble}: no finished k-fold; " + (f"name {some(near)}" if near else _KFOLD_FIRST))
    if (flags.mode == "predict") != (flags.input is not None) or ((flags.output or run) and flags.mode != "predict"):
        parser.error("--mode predict needs --input PATH; --input, --output, --run and --ensemble go with it")
    if flags.clusters is not None and not 2 <= flags.clusters <= 256:
        parser.error("--clusters: 2 to 256 are accepted")
    if run and names_run:
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
    if settings.protocol == "holdout" and not _is_trained(run) and _is_trained(final):
        return final
    return run if arguments.names_run or _is_trained(run) else None


def _is_trained(run: Path) -> bool:
    return (run / "checkpoints" / "dmr_run.pty").is_file()


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
