"""What the tests of the import share: a writer of synthetic sources, and readers of what was made from them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from src import errors
from src.datasets.dmr_dataset import DMRDataset
from src.datasets.prepare import main
from src.datasets.snapshots import make_snapshot
from src.datasets.source import Frame, Skipped

H, W = 48, 64


def degrees(seed: int) -> np.ndarray:
    """A warm blob in a cold room, in hundredths of degrees Celsius."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:H, :W]
    centre = rng.uniform(0.3, 0.7, 2) * (H, W)
    return np.round(
        22 + 12 * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 400) + rng.normal(0, 0.1, (H, W)), 2
    )


class Folder:
    """Writes the files of a source; each frame differs by its seed."""

    def __init__(self, root: Path) -> None:
        self.root, self.seed = root, 0

    def _path(self, name: str) -> Path:
        self.seed += 1
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def matrix(self, name: str, separator: str = " ", point: str = ".", end: str = "\r\r\n") -> np.ndarray:
        path, values = self._path(name), degrees(self.seed)
        lines = (separator.join(f"{value:.2f}".replace(".", point) for value in row) for row in values)
        path.write_bytes(end.join([*lines, ""]).encode())
        return values

    def picture(self, name: str, colour: bool = False) -> bytes:
        path, values = self._path(name), degrees(self.seed)
        gray = np.uint8(np.clip((values - 21) / 15 * 255, 0, 255))
        pixels = make_snapshot(values) if colour else np.repeat(gray[..., None], 3, axis=2)
        Image.fromarray(pixels).save(path, "JPEG", quality=95)
        return path.read_bytes()

    def text(self, name: str, text: str) -> None:
        self._path(name).write_text(text, encoding="utf-8")


def run(source: Folder | Path, out: Path, *options: str) -> int:
    root = source.root if isinstance(source, Folder) else source
    return command("import", str(root), str(out), *options)


def command(*arguments: str) -> int:
    """The exit code of the command line."""
    try:
        errors.run(lambda: main(arguments))
    except SystemExit as end:
        return int(str(end.code))
    return 0


def read(out: Path) -> tuple[dict[str, int], list[Frame], list[Frame]]:
    """Diagnoses, gray and heat frames, as a training run would read them; nothing may be missing a modality."""
    reader, skipped = DMRDataset(out), Skipped()
    found = reader.frames("gray", skipped), reader.frames("heat", skipped)
    assert not skipped.reasons
    return reader.diagnoses(skipped), *found


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "import.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def made_from(out: Path, original: str) -> dict[str, str]:
    """The new files of an original, by their suffix."""
    found = {row["new"] for row in rows(out) if row["original"] == original} - {""}
    return {name[-9:] if name.endswith("_snap.jpg") else name[-4:]: name for name in found}


def tree(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }
