"""Two processes train as one does: the same losses, the same weights, one set of files."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_scripts import run_here

from src.settings import REPOSITORY

ENCODER = [
    "precision=fp32",
    "image_size=[32, 48]",
    "num_kernels=2",
    "sampled_patches_per_image=4",
    "batch_size=7",
    "max_epochs=3",
]
DECODER = [
    "precision=fp32",
    "image_size=[32, 48]",
    "base_channels=2",
    "batch_size=3",
    "max_epochs=2",
    "learning_rate=0.001",
]


SCRIPTS = """
import atexit, json, runpy, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from src.training import distributed

@atexit.register  # before the processes join, so that it runs after they left
def left_running():
    tasks = Path("/proc/self/task")
    names = [task.joinpath("comm").read_text().strip() for task in tasks.iterdir()] if tasks.is_dir() else []
    print([name for name in names if "gloo" in name])

for sys.argv in json.loads(sys.argv[2]):
    runpy.run_path(sys.argv[0], run_name="__main__")
assert distributed.processes() == 2

model = torch.nn.Linear(2, 1)  # what outlives the script
step = distributed.share_work(model, lambda batch: {"loss": model(batch["x"]).mean()})
step({"x": torch.ones(2, 2), "frame": [0, 1], "total": 4})["loss"].backward()
cycle = [step]
cycle.append(cycle)
del step, cycle
"""


def by_two(script: str, arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in two processes under torchrun."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, str(REPOSITORY / script), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=150)


def losses(run: Path, key: str) -> list[float]:
    lines = (run / "logs" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[key] for line in lines]


@dataclass(frozen=True)
class Trained:
    """Output roots of trainings by one process and by two, and what the two said."""

    one: Path
    two: Path
    said: str


@pytest.fixture(scope="module")
def trained(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """An encoder, and a decoder on that of one process: batches of 7 and 1 frames, so shares of 4, 3, 1 and 0.

    Two processes do one after the other, as each start of them takes seconds.
    """
    one, two = (tmp_path_factory.mktemp(f"by{processes}") for processes in (1, 2))

    def commands(root: Path) -> list[list[str]]:
        places = ["--set", f"dataset_path={phantom}", f"output_root={root}"]
        split = ["train_val_ratio=8:2", "min_steps_per_epoch=1"]
        again = f"checkpoint_activations={'on' if root == two else 'off'}"
        decoder = ["--encoder-ckpt-root", str(one), *places, *DECODER, again]
        return [["main_latent.py", *places, *split, *ENCODER], ["main_seg.py", *decoder]]

    for command in commands(one):
        run_here(*command)
    script = two / "scripts.py"
    script.write_text(SCRIPTS, encoding="utf-8")
    listed = json.dumps([[str(REPOSITORY / name), *arguments] for name, *arguments in commands(two)])
    done = by_two(str(script), [str(REPOSITORY), listed], two)
    assert done.returncode == 0, done.stderr
    return Trained(one, two, done.stdout)


def test_two_processes_pretrain_as_one(trained: Trained) -> None:
    one, two = (root / "dmr_runs" for root in (trained.one, trained.two))
    assert losses(two, "train/loss") == pytest.approx(losses(one, "train/loss"), rel=1e-4)
    # A bias before BatchNorm has no gradient but rounding, which AdamW makes whole steps of: validation drifts by it.
    assert losses(two, "val/loss") == pytest.approx(losses(one, "val/loss"), rel=1e-3)


def test_two_processes_train_a_decoder_as_one(trained: Trained) -> None:
    """Though the two compute activations again, a frame at a time."""
    one, two = (root / "dmr_runs_seg_h_enc_h_dec" for root in (trained.one, trained.two))
    for key in ("train/loss", "val/loss"):
        assert losses(two, key) == pytest.approx(losses(one, key), rel=1e-4)
    for run in (one, two):
        assert len((run / "results" / "predictions.csv").read_text(encoding="utf-8").splitlines()) > 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed on Linux only")
def test_no_thread_of_the_group_outlives_the_script(trained: Trained) -> None:
    assert trained.said.count("[]") == 2, trained.said


def test_a_process_that_dies_ends_the_run_with_its_error(phantom: Path, tmp_path: Path) -> None:
    arguments = ["--set", f"dataset_path={phantom}", f"output_root={tmp_path}", *DECODER]
    done = by_two("main_binary.py", arguments, tmp_path)
    assert done.returncode != 0
    assert "train it first: python main_latent.py" in done.stderr
