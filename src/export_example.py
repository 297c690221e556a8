"""The script beside an exported file: it reads a picture and answers as `--mode predict` does, without this repository.

What it decides by is taken from the source here, so that the two cannot differ.
"""

import inspect
from typing import Literal

from model.heads import RegionDecoder
from src.datasets import letterbox as boxes
from src.evaluation import decision
from src.prediction.trained import Trained

Format = Literal["onnx", "torchscript", "pt2"]
_RUNNERS: dict[Format, tuple[str, str, str]] = {
    "onnx": (
        "onnxruntime",
        "import onnxruntime",
        '    session = onnxruntime.InferenceSession(str(FILE), providers=["CPUExecutionProvider"])\n'
        '    return np.asarray(session.run(["probabilities"], {"frames": frames})[0])\n',
    ),
    "torchscript": (
        "torch",
        "import torch",
        "    return torch.jit.load(str(FILE))(torch.from_numpy(frames)).numpy()\n",
    ),
    "pt2": (
        "torch",
        "import torch",
        "    return torch.export.load(str(FILE)).module()(torch.from_numpy(frames)).detach().numpy()\n",
    ),
}
"""What has to be installed and imported, and the body of the function that runs a file."""


def example(trained: Trained, form: Format, name: str) -> str:
    """The text of the script for the exported file of this name."""
    library, imported, body = _RUNNERS[form]
    finds_regions = isinstance(trained.model.decoder, RegionDecoder)
    arguments = "PICTURE LABELS.png" if finds_regions else "PICTURE"
    sources = [inspect.getsource(found) for found in (boxes.Letterbox, boxes.letterbox, boxes.resized)]
    constants = [f'FILE = Path(__file__).with_name("{name}")', f"ROWS_COLUMNS = {trained.size!r}"]
    if finds_regions:
        sources += [inspect.getsource(found) for found in (decision.chosen_classes, decision._give_strays_away)]
        names, background = trained.record.classes
        constants += [f"CLASSES = {list(names)!r}", f"BACKGROUND = {background}"]
        constants += [f"DECIDE, LEAST = {trained.decide!r}, {trained.least!r}"]
        constants += [f"STRAY, _ROUNDS = {decision.STRAY}, {decision._ROUNDS}"]
    else:
        scores = trained.metrics()
        constants += [f"THRESHOLD, TEMPERATURE = {scores.get('threshold')!r}, {scores.get('temperature')!r}"]
    looks = " at its first look" if trained.run is None else ""  # a second one takes more than the file
    parts = [
        f'"""Answers as --mode predict does{looks}: python {{this file}} {arguments}.\n\n'
        f"Needs numpy, opencv and {library}. "
        'Research software: no medical device, no diagnosis. Left is left in the picture.\n"""\n',
        "from __future__ import annotations\n",
        "import sys\nfrom dataclasses import dataclass\nfrom pathlib import Path\n",
        f"import cv2\nimport numpy as np\n{imported}\n",
        "\n".join(constants) + "\n\n",
        *(f"{source}\n" for source in sources),
        f"def probabilities_of(frames):\n{body}\n",
        _reader(trained),
        _REGIONS if finds_regions else _DIAGNOSIS,
    ]
    return "\n".join(parts)


def _reader(trained: Trained) -> str:
    """The function that makes a frame of a picture."""
    gray = trained.modality == "gray"
    kind = "cv2.IMREAD_GRAYSCALE" if gray else "cv2.IMREAD_COLOR"
    lines = [
        "def frame_of(path):",
        f"    pixels = cv2.imread(path, {kind})",
        "    if pixels is None:",
        '        sys.exit(f"{path}: no picture")',
    ]
    lines += [] if gray else ["    pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)"]
    # Networks that see levels take them unrounded.
    lines += ["    pixels = pixels.astype(np.float32)"] if trained.sees_levels and gray else []
    channels = "[None, None]" if gray else ".transpose(2, 0, 1)[None]"
    lines += [
        "    box = letterbox(pixels.shape[:2], ROWS_COLUMNS)",
        f"    return np.ascontiguousarray(box.apply(pixels){channels}.astype(np.float32)), box",
        "",
        "",
    ]
    return "\n".join(lines)


_REGIONS = """if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    frames, box = frame_of(sys.argv[1])
    on_pixels = box.restore(probabilities_of(frames)[0].transpose(1, 2, 0)).transpose(2, 0, 1)
    classes = chosen_classes(on_pixels[None], DECIDE, BACKGROUND, LEAST)[0]
    values = np.array([0 if index == BACKGROUND else index + 1 for index in range(len(CLASSES))], np.uint8)
    cv2.imwrite(sys.argv[2], values[classes])
    for index, name in enumerate(CLASSES):
        if index != BACKGROUND:
            print(f"{values[index]} {name}: {(classes == index).sum()} pixels")
"""
_DIAGNOSIS = """if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    frames, _ = frame_of(sys.argv[1])
    probability = float(probabilities_of(frames)[0])
    sure = min(max(probability, 1e-12), 1 - 1e-12)
    calibrated = 1 / (1 + (1 / sure - 1) ** (1 / TEMPERATURE))
    side = "reaches" if probability >= THRESHOLD else "is below"
    print(f"probability of sick {probability:.3f} {side} the threshold {THRESHOLD:.3f}; calibrated {calibrated:.3f}")
"""
