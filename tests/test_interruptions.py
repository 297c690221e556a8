"""The three scripts, interrupted and gone on with, end as undisturbed ones do; what is there is not overwritten."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from soak import compare
from test_files import held_elsewhere
from test_scripts import TINY_DECODER, TINY_ENCODER, run_here

from src.networks import checkpoint as checkpoints
from src.settings import REPOSITORY
from src.training import decoder_trainer, engine, memory
from src.training.epoch import Progress
from src.training.run_folder import RunFolder

ENCODER, CLASSIFIER, SEGMENTER = SCRIPTS = ("main_latent.py", "main_binary.py", "main_seg.py")
STEPS, EPOCHS = 3, 3
RECIPE = [
    "augment=full",
    "optimizer=adamw",
    "schedule=onecycle",
    "loss=ce+dice",
    "select_by=score",
]
Train = Callable[..., Path]


@pytest.fixture(scope="module")
def train(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Runs a script below a folder of this name, the same one for its encoder: `flags`, then settings."""
    folder = tmp_path_factory.mktemp("interruptions")

    def run(script: str, name: str, flags: tuple[str, ...] = (), *settings: str) -> Path:
        root = folder / name / script
        sizes = TINY_ENCODER if script == ENCODER else TINY_DECODER
        places = [f"dataset_path={phantom}", f"output_root={root}", f"cache_folder={folder / 'cache'}"]
        places += [*sizes, f"max_epochs={EPOCHS}", f"min_steps_per_epoch={STEPS}", *settings]
        if script == SEGMENTER:
            places = [*places, *RECIPE]
        if script != ENCODER:
            encoders = folder / "undisturbed" / ENCODER
            root.mkdir(parents=True, exist_ok=True)
            shutil.copy(encoders / "split.json", root)
            flags = (*flags, "--encoder-ckpt-root", str(encoders))
        run_here(script, *flags, "--set", *places)
        return root

    return run


@pytest.fixture(scope="module")
def undisturbed(train: Train) -> dict[str, Path]:
    """Output roots of runs that nothing disturbed."""
    return {script: train(script, "undisturbed") for script in SCRIPTS}


def interrupted(code: int, run: Callable[[], object]) -> None:
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == code


def run_of(root: Path) -> RunFolder:
    return RunFolder(next(root.glob("dmr_runs*")))


def signal_at_step(monkeypatch: pytest.MonkeyPatch, number: int, step: int) -> None:
    """The signal comes while this step is being done."""
    add, done = Progress.add, 0

    def counted(self: Progress, *arguments: object) -> None:
        nonlocal done
        done += 1
        if done == step:
            os.kill(os.getpid(), number)
        add(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Progress, "add", counted)


def disk_full_at(monkeypatch: pytest.MonkeyPatch, name: str, times: int) -> None:
    """The disk is full when a checkpoint of this name is written for the so-manyth time."""
    replace, written = Path.replace, 0

    def counted(self: Path, target: Path) -> Path:
        nonlocal written
        written += target.name == name
        if written == times:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", counted)


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_interrupted_run_ends_as_an_undisturbed_one_with_any_number_of_workers(
    undisturbed: dict[str, Path],
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str,
) -> None:
    """Stopped in the second epoch, out of disk between the files of the third, stopped in testing, gone on with.

    Two processes load the batches of what is left after the first stop, none those before and those of the other run.
    """
    number = signal.SIGINT if script == SEGMENTER else signal.SIGTERM
    with monkeypatch.context() as patched:
        signal_at_step(patched, number, STEPS + 2)
        interrupted(128 + number, lambda: train(script, "stopped"))
    assert "stopped and saved; a training goes on" in capsys.readouterr().err
    run = run_of(undisturbed[script].parent.parent / "stopped" / script)
    last = checkpoints.load(run.last)
    assert last.begun is not None
    assert (last.epoch, last.begun["step"]) == (1, 2)

    interrupted(2, lambda: train(script, "stopped"))
    assert "a run is there; --resume goes on with it" in capsys.readouterr().err

    with monkeypatch.context() as patched:
        patched.setattr(engine, "SAVE_EVERY", 0.0)  # after every step
        patched.setattr(memory, "SHARE_FOR_FRAMES", 0.0)  # there is no room for frames on the device
        disk_full_at(patched, "metrics.jsonl", 3)  # resuming, after epoch 2, after epoch 3
        interrupted(2, lambda: train(script, "stopped", ("--resume",), "num_workers=2"))
    assert "No space left on device" in capsys.readouterr().err.splitlines()[-1]
    assert checkpoints.load(run.last).epoch == EPOCHS
    assert len(run.history()) == EPOCHS - 1

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "finish", interrupt)
        interrupted(130, lambda: train(script, "stopped", ("--resume",)))
    train(script, "stopped", ("--resume",))
    assert compare(undisturbed[script], run.root.parent) == []


def test_a_stop_in_validation_saves_the_weights_that_training_goes_on_with(
    undisturbed: dict[str, Path], train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, times = decoder_trainer.evaluate, 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal times
        times += 1
        if times == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(decoder_trainer, "evaluate", counted)
        assert in_a_copy(lambda: train(SEGMENTER, "validating")) == 128 + signal.SIGTERM
    root = run_of(undisturbed[SEGMENTER]).root.parents[2] / "validating" / SEGMENTER
    assert checkpoints.load(run_of(root).last).begun is not None
    train(SEGMENTER, "validating", ("--resume",))
    assert compare(undisturbed[SEGMENTER], root) == []


def in_a_copy(run: Callable[[], object]) -> int:
    """What a copy of this process ends with, for what ends it: a new one would need seconds to import torch."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        run()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # nothing of pytest's goes on here


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_finished_run_is_overwritten_when_told_only(
    undisturbed: dict[str, Path], train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(train(ENCODER, "twice", (), "max_epochs=1"))
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()}
    capsys.readouterr()
    interrupted(2, lambda: train(ENCODER, "twice"))
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    assert "a run is there; --resume goes on with it, --overwrite removes it" in message
    assert {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file()} == before
    root = train(ENCODER, "twice", ("--overwrite",))
    assert compare(undisturbed[ENCODER], root) == []
    seconds = json.loads((run.results / "metrics.json").read_text(encoding="utf-8"))["seconds"]
    train(ENCODER, "twice", ("--resume",))
    assert json.loads((run.results / "metrics.json").read_text(encoding="utf-8"))["seconds"] > 0.1 * seconds
    interrupted(2, lambda: train(ENCODER, "twice", ("--resume", "--overwrite")))


def test_a_damaged_checkpoint_is_told_from_a_missing_one(
    undisturbed: dict[str, Path], train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = undisturbed[ENCODER].parent.parent / "damaged" / ENCODER
    shutil.copytree(undisturbed[ENCODER], root)
    run = run_of(root)
    whole, best = run.last.read_bytes(), run.best.read_bytes()
    for content, told in (
        (whole[: len(whole) // 2], "last.pty: damaged, or no checkpoint"),
        (best, "no optimizer state; --overwrite starts afresh"),
        (None, "last.pty: gone, and dmr_run.pty beside it is no state to go on from; --overwrite starts afresh"),
    ):
        run.last.unlink() if content is None else run.last.write_bytes(content)
        interrupted(2, lambda: train(ENCODER, "damaged", ("--resume",)))
        assert told in capsys.readouterr().err.splitlines()[-1]
    assert run.best.read_bytes() == best
    shutil.rmtree(run.root)
    train(ENCODER, "damaged", ("--resume",))
    assert "nothing to resume there, starting afresh" in capsys.readouterr().err
    assert compare(undisturbed[ENCODER], root) == []


def test_two_runs_in_one_folder_and_a_folder_that_cannot_be_written_are_one_line(
    train: Train, undisturbed: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(undisturbed[CLASSIFIER])
    with held_elsewhere(run.root / ".lock"):
        interrupted(2, lambda: train(CLASSIFIER, "undisturbed", ("--overwrite",)))
    assert "another run writes there" in capsys.readouterr().err.splitlines()[-1]
    assert run.best.exists()
    root = undisturbed[ENCODER].parent.parent / "file" / ENCODER
    root.mkdir(parents=True)
    (root / "dmr_runs").touch()
    interrupted(2, lambda: train(ENCODER, "file"))
    assert "cannot write the run folder" in capsys.readouterr().err.splitlines()[-1]


_MODULES = ("report", "audit", "evaluation.compare", "evaluation.summary", "export")
_MODULES += ("phantom", "phantom.sheet", "phantom.teach")
_COMMANDS: list[tuple[str, ...]] = [(str(REPOSITORY / script),) for script in SCRIPTS]
_COMMANDS += [("-m", f"src.{name}") for name in _MODULES]


@pytest.mark.parametrize(
    ("command", "libraries"),
    [(command, ("torch", "numpy", "pydantic")) for command in _COMMANDS]
    + [(("-m", "src.datasets.prepare"), ("tqdm",))],  # what its package imports comes before its first line
)
def test_ctrl_c_while_libraries_are_imported_ends_in_a_line(
    tmp_path: Path, command: Sequence[str], libraries: Sequence[str]
) -> None:
    for library in libraries:
        code = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
        (tmp_path / f"{library}.py").write_text(code, encoding="utf-8")
    found = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), str(REPOSITORY)))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stderr.strip()) == (130, "interrupted")
