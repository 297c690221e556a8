"""Two processes train as one does: the same losses, the same weights, one set of files."""

import json
import subprocess
import sys
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


def by_two(script: str, arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in two processes under torchrun."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *torchrun, str(REPOSITORY / script), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=150)


def train(script: str, processes: int, arguments: list[str], cwd: Path) -> None:
    """Train in this process or in two."""
    if processes == 1:
        run_here(script, *arguments)
    else:
        done = by_two(script, arguments, cwd)
        assert done.returncode == 0, done.stderr


def losses(run: Path, key: str) -> list[float]:
    lines = (run / "logs" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[key] for line in lines]


@pytest.fixture(scope="module")
def encoders(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Output roots of a pretraining by 1 and by 2 processes: batches of 7 and 1 frames, so shares of 4, 3, 1 and 0."""
    roots = {}
    for processes in (1, 2):
        roots[processes] = tmp_path_factory.mktemp(f"by{processes}")
        places = [f"dataset_path={phantom}", f"output_root={roots[processes]}", "train_val_ratio=8:2"]
        places.append("min_steps_per_epoch=1")
        train("main_latent.py", processes, ["--set", *places, *ENCODER], roots[processes])
    return roots


def test_two_processes_pretrain_as_one(encoders: dict[int, Path]) -> None:
    one, two = (encoders[processes] / "dmr_runs" for processes in (1, 2))
    assert losses(two, "train/loss") == pytest.approx(losses(one, "train/loss"), rel=1e-4)
    # A bias before BatchNorm has no gradient but rounding, which AdamW makes whole steps of: validation drifts by it.
    assert losses(two, "val/loss") == pytest.approx(losses(one, "val/loss"), rel=1e-3)


def test_two_processes_train_a_decoder_as_one(encoders: dict[int, Path], phantom: Path, tmp_path: Path) -> None:
    """Though the two compute activations again, a frame at a time."""
    found = []
    for processes in (1, 2):
        root = tmp_path / str(processes)
        root.mkdir()
        (root / "split.json").write_bytes((encoders[1] / "split.json").read_bytes())
        places = ["--encoder-ckpt-root", str(encoders[1]), "--set", f"dataset_path={phantom}", f"output_root={root}"]
        again = f"checkpoint_activations={'on' if processes == 2 else 'off'}"
        train("main_seg.py", processes, [*places, *DECODER, again], tmp_path)
        (run,) = root.glob("dmr_runs_*")
        found.append(losses(run, "train/loss") + losses(run, "val/loss"))
        assert len((run / "results" / "predictions.csv").read_text(encoding="utf-8").splitlines()) > 1
    assert found[1] == pytest.approx(found[0], rel=1e-4)


LEAVES_A_CYCLE = """
import atexit, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from src.training import distributed

@atexit.register  # before the processes join, so that it runs after they left
def left_running():
    names = [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    print([name for name in names if "gloo" in name])

distributed.join(torch.device("cpu"))
model = torch.nn.Linear(2, 1)
step = distributed.share_work(model, lambda batch: {"loss": model(batch["x"]).mean()})
step({"x": torch.ones(2, 2), "frame": [0, 1], "total": 4})["loss"].backward()
cycle = [step]
cycle.append(cycle)
del step, cycle
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are listed on Linux only")
def test_no_thread_of_the_group_outlives_the_script(tmp_path: Path) -> None:
    script = tmp_path / "leaves_a_cycle.py"
    script.write_text(LEAVES_A_CYCLE, encoding="utf-8")
    done = by_two(str(script), [str(REPOSITORY)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[]") == 2, done.stdout


def test_a_process_that_dies_ends_the_run_with_its_error(phantom: Path, tmp_path: Path) -> None:
    arguments = ["--set", f"dataset_path={phantom}", f"output_root={tmp_path}", *DECODER]
    done = by_two("main_binary.py", arguments, tmp_path)
    assert done.returncode != 0
    assert "train it first: python main_latent.py" in done.stderr
