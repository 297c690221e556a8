"""Writes a trained run, or the segmenter that ships, as one file that other software runs.

Input `frames`: float32 [B, C, H, W] with the values 0..255 of decoded pictures, one channel for gray frames and three
(RGB) for heat maps, at the run's own rows and columns. Output `probabilities`: [B] of sick, before calibration, or
[B, K, H, W] of each class, summing to 1 over K. The number of frames is free. What is decided from probabilities stands
in a script beside the file, NAME_example.py, which reads a picture and gives what `--mode predict` does.
"""

from src.errors import UserError, end_at_once
from src.errors import run as run_script

if __name__ == "__main__":  # torch takes seconds to be imported, and Ctrl-C may come in them
    end_at_once()

import argparse
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.heads import LatentModel, RegionDecoder
from src.datasets.torch_datasets import as_input
from src.export_example import Format, example
from src.files import atomic_write, write_text
from src.networks import checkpoint as checkpoints
from src.networks.taught import SHIPPED
from src.places import RunFiles, pooled_in
from src.prediction.predictors import NOTICE
from src.prediction.shipped import load_shipped
from src.prediction.trained import Trained, load_trained

logger = logging.getLogger(__name__)

SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torchscript": ".pt", "pt2": ".pt2"}
INPUT, OUTPUT = "frames", "probabilities"
_OPSET = 18


class Exported(nn.Module):
    """Encoder and decoder together, between the values of decoded pictures and probabilities."""

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """frames float32 [B, C, H, W] in 0..255 -> probabilities [B] or [B, K, H, W]."""
        logits: torch.Tensor = self.model(as_input(frames))
        return logits.softmax(1) if isinstance(self.model.decoder, RegionDecoder) else logits.sigmoid()


def export(run: Path | None, form: Format, path: Path | None = None) -> Path:
    """Write the networks of a run folder to a file, by default in the run's folder `export`, and return its path.

    Without a run, those that ship, by default in the current folder. Raises `UserError` where the run cannot be used, a
    library is missing, or the file cannot be written.
    """
    trained = _trained(run)
    model = Exported(trained.model).eval()
    # Two frames: with one, exporters take the number of frames for a constant.
    frames = torch.zeros(2, 1 if trained.modality == "gray" else 3, *trained.size)
    if path is None:
        folder, name = (Path(), SHIPPED.stem) if run is None else (run / "export", run.resolve().name)
        path = folder / f"{name}{SUFFIXES[form]}"
    writers: dict[Format, Callable[[nn.Module, torch.Tensor, Path, dict[str, str]], None]] = {
        "onnx": _write_onnx,
        "torchscript": _write_torchscript,
        "pt2": _write_pt2,
    }
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):  # the exporters' own notes on what they will drop
        writers[form](model, frames, path, facts(trained))
    write_text(example_of(path), example(trained, form, path.name))
    return path


def example_of(path: Path) -> Path:
    """Where the script lies that shows how an exported file is used."""
    return path.with_name(f"{path.stem}_example.py")


def _trained(run: Path | None) -> Trained:
    if run is None:
        return load_shipped("cpu")
    if pooled_in(run) and not RunFiles(run).best.is_file():
        raise UserError(f"{run}: several models together are no single file; export the final model, or one fold's run")
    found = checkpoints.load(RunFiles(run).best).settings.get("task")
    return load_trained(run, "classification" if found == "classification" else "segmentation", "cpu")


def facts(trained: Trained) -> dict[str, str]:
    """What the file says about itself, in its metadata."""
    said: dict[str, Any] = {
        "notice": NOTICE,
        "input": f"{INPUT}: float32 [B, C, H, W], values 0..255 ({trained.modality} frames)",
        "rows_columns": list(trained.size),
        **({"palette": trained.record.palette or "not known"} if trained.modality == "heat" else {}),
        "class_names": list(trained.record.classes.names),
    }
    if isinstance(trained.model.decoder, RegionDecoder):
        said["decide"] = f"{trained.decide} (src/evaluation/decision.py, and in the script beside this file)"
        said |= {"least_mean_probability": list(trained.least)} if trained.least else {}
    else:
        scores = trained.metrics()
        said |= {name: scores.get(name) for name in ("threshold", "temperature")}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in said.items()}


def _write_onnx(model: nn.Module, example: torch.Tensor, path: Path, said: dict[str, str]) -> None:
    for library in ("onnx", "onnxscript"):
        if importlib.util.find_spec(library) is None:
            raise UserError("ONNX files need two libraries: python -m pip install onnx==1.23.2 onnxscript==0.7.2")
    import onnx

    program = torch.onnx.export(
        model,
        (example,),
        dynamo=True,
        verbose=False,
        opset_version=_OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
    )
    assert program is not None
    proto = program.model_proto
    onnx.helper.set_model_props(proto, said)
    with atomic_write(path) as file:
        file.write(proto.SerializeToString())


def _write_torchscript(model: nn.Module, example: torch.Tensor, path: Path, said: dict[str, str]) -> None:
    traced = torch.jit.trace(model, example)  # type: ignore[no-untyped-call]
    with atomic_write(path) as file:
        torch.jit.save(traced, file, _extra_files={"facts.json": json.dumps(said)})


def _write_pt2(model: nn.Module, example: torch.Tensor, path: Path, said: dict[str, str]) -> None:
    program = torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    with atomic_write(path) as file:
        torch.export.save(program, file, extra_files={"facts.json": json.dumps(said)})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m src.export", description=__doc__.partition("\n")[0])
    run_help = "a run folder of main_binary.py or main_seg.py (default: the segmenter that ships)"
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help=run_help)
    parser.add_argument("--format", choices=tuple(SUFFIXES), required=True, dest="form")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: in the run's folder export, or here")
    flags = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for library in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(library).setLevel(logging.ERROR)
    path = export(flags.run, flags.form, flags.output)
    script = example_of(path)
    finds_regions = "chosen_classes" in script.read_text(encoding="utf-8")
    logger.info("%s: %s", path, NOTICE)
    logger.info("it is used as in: python %s PICTURE%s", script, " LABELS.png" * finds_regions)


if __name__ == "__main__":
    run_script(main)
