"""How time and memory grow with frames, image size, batch and anchors: one figure, log-log."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks import timing, workload
from src.datasets import splits
from src.datasets.dmr_dataset import is_snapshot
from src.datasets.splits import Split
from src.training.memory import peak_memory_mb

FRAMES = (100, 300, 1000, 4000)
SIDES = (120, 240, 480, 960)
BATCHES = (1, 4, 16, 64)
ANCHORS = (4, 16, 64, 256)
FRAMES_OF_A_PATIENT = 20
MEMORY_TICKS = (500, 1000, 2000, 4000)  # MB


def collection(drawn: Path, folder: Path, frames: int) -> Path:
    """A data folder of so many gray frames: those of `drawn`, each linked under several patients' names."""
    sources = sorted(path for path in drawn.glob("*/*.jpg") if not is_snapshot(path))
    for number in range(frames):
        patient, frame = divmod(number, FRAMES_OF_A_PATIENT)
        path = folder / f"{patient + 1:04d}" / f"T{patient + 1:04d}.1.1.D.2020-01-01.{frame:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(sources[number % len(sources)])
    return folder


def measure(drawn: Path, frames: int, rows: int, batch: int, anchors: int) -> tuple[float, float]:
    """Seconds of a pretraining step and peak memory in MB of a process that pretrains on so many gray frames."""
    arguments = [str(value) for value in (drawn, frames, rows, batch, anchors)]
    command = [sys.executable, "-m", "benchmarks.scaling", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    time, memory = done.stdout.split()[-2:]
    return float(time), float(memory)


def _measure_here(drawn: Path, frames: int, rows: int, batch: int, anchors: int) -> None:
    with tempfile.TemporaryDirectory(dir=drawn.parent) as folder:
        data = collection(drawn, Path(folder) / "data", frames)
        overrides = [f"image_size=[{rows}, {rows * 4 // 3}]", f"batch_size={batch}"]
        overrides += [f"sampled_patches_per_image={anchors}", "min_steps_per_epoch=1"]
        # Linked frames are the same under many patients, whom no drawn split would tear apart.
        names = sorted(path.name for path in data.iterdir())
        splits.save(Path(folder) / "split.json", Split(2021, 0.2, tuple(names[::5]), tuple(set(names) - {*names[::5]})))
        work = workload.pretraining(data, Path(folder), "gray", *overrides)
        taken = timing.seconds(work.epoch) / work.trainable.steps_per_epoch
        print(taken, peak_memory_mb(workload.CPU))


def plot(path: Path) -> None:
    """Vary one size at a time around 100 frames of 480 x 640, batch 16, 16 anchors."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplots(2, 4, sharey="row")
    usual = {"frames": 100, "rows": 480, "batch": 16, "anchors": 16}
    sweeps: dict[str, Sequence[int]] = {"frames": FRAMES, "rows": SIDES, "batch": BATCHES, "anchors": ANCHORS}
    with tempfile.TemporaryDirectory() as folder:
        drawn = workload.phantom(Path(folder))
        measured = {
            name: [measure(drawn, **(usual | {name: value})) for value in values] for name, values in sweeps.items()
        }
    for column, (name, values) in enumerate(sweeps.items()):
        found = measured[name]
        for row, (label, unit) in enumerate((("pretraining step", "s"), ("peak memory", "MB"))):
            axes[row, column].loglog(values, [pair[row] for pair in found], marker="o")
            axes[row, column].grid(True, which="both", alpha=0.3)
            axes[row, column].set_xticks(values, [str(value) for value in values])
            axes[row, column].xaxis.set_minor_locator(NullLocator())
            axes[row, column].set_xlabel(name if row else "")
            if not column:
                axes[row, column].set_ylabel(f"{label} [{unit}]")
    axes[1, 0].set_ylim(500, 4000)
    axes[1, 0].set_yticks(MEMORY_TICKS, [str(value) for value in MEMORY_TICKS])
    axes[1, 0].yaxis.set_minor_locator(NullLocator())
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    _measure_here(Path(sys.argv[1]), *(int(value) for value in sys.argv[2:]))
