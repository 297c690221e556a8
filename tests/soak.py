"""Interrupts the three scripts at random moments, resumes them, and compares their ends with undisturbed runs.

`python tests/soak.py --trials 50` takes about five minutes, outside `make test`. Each trial is a process forked
from this one, which has imported everything already. One trial in three is interrupted again while it is resumed.
"""

import argparse
import builtins
import errno
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import matplotlib.figure  # noqa: E402, F401, imported here so that no trial has to
import torch  # noqa: E402

import main_binary  # noqa: E402
import main_latent  # noqa: E402
import main_seg  # noqa: E402
from src import cli, errors  # noqa: E402
from src.networks import checkpoint as checkpoints  # noqa: E402
from src.phantom.dataset import write_phantom  # noqa: E402
from src.training import engine, memory  # noqa: E402

TINY = ["image_size=[48, 64]", "batch_size=4", "max_epochs=4", "precision=fp32"]
ENCODER = [*TINY, "num_kernels=2", "sampled_patches_per_image=4", "min_steps_per_epoch=3"]
DECODER = [*TINY, "base_channels=2", "min_steps_per_epoch=3"]
MAINS: dict[str, Callable[[], None]] = {
    "main_latent.py": main_latent.main,
    "main_binary.py": main_binary.main,
    "main_seg.py": main_seg.main,
}
FAULTS = {"kill": 4, "kill in a write": 3, "SIGTERM": 2, "SIGINT": 1, "disk full": 3, "read error": 2}
"""Kinds of interruption and how often each is drawn."""
UNLIKE = {"seconds", "peak_memory_mb"}
"""What metrics.json says of the machine, not of the training."""


@dataclass
class Fault:
    """What happens to a process: a signal at a time in seconds, or an error at the so-manyth write or read."""

    kind: str = "none"
    at: float = 0.0


@dataclass
class Counted:
    """What an undisturbed run takes: the range that moments are drawn from."""

    seconds: float
    writes: int
    reads: int


class _Disk:
    """Stands before `open` in a trial's process: counts writes and reads below a folder, and fails when told to."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        self.folder, self.fault, self.writes, self.reads = str(folder), fault, 0, 0
        self.open = io.open
        builtins.open = io.open = self.opened  # type: ignore[assignment]
        replace = os.replace

        def counted(*arguments: Any, **named: Any) -> None:
            self.write()
            replace(*arguments, **named)

        os.replace = counted

    def opened(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
        if not isinstance(file, str | Path) or not str(file).startswith(self.folder):
            return self.open(file, mode, buffering, *rest, **named)
        raw = _Raw(file, mode.replace("b", "").replace("t", ""))
        raw.disk = self
        if buffering == 0:
            return raw
        kind = io.BufferedRandom if "+" in mode else io.BufferedReader if "r" in mode else io.BufferedWriter
        buffered = kind(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **named)

    def write(self) -> None:
        self.writes += 1
        if self.fault.kind == "kill in a write" and self.writes == self.fault.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault.kind == "disk full" and self.writes >= self.fault.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def read(self) -> None:
        self.reads += 1
        if self.fault.kind == "read error" and self.reads == self.fault.at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


class _Raw(io.FileIO):
    disk: _Disk

    def write(self, content: Any) -> int:
        half = bytes(content)[: len(content) // 2]
        super().write(half)
        self.disk.write()
        return len(half) + (super().write(bytes(content)[len(half) :]) or 0)

    def readinto(self, buffer: Any) -> Any:
        self.disk.read()
        return super().readinto(buffer)

    def readall(self) -> bytes:
        self.disk.read()
        return super().readall()


@dataclass
class Soak:
    """The phantom, the undisturbed runs, and what came out so far."""

    folder: Path
    generator: random.Random
    wrong: list[str] = field(default_factory=list)
    tally: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """By script and kind: trials, those that were interrupted, those that ended as the undisturbed run."""

    def root(self, script: str, name: str) -> Path:
        """A trial's output root."""
        return self.folder / Path(script).stem / name

    def start(self, script: str, root: Path, flags: list[str], fault: Fault, save_every: float = 600.0) -> int:
        """Run a script in a process of its own; returns its exit code, that of a signal being negative."""
        places = [f"dataset_path={self.folder / 'phantom'}", f"output_root={root}"]
        arguments = [*flags, "--set", *places, *(ENCODER if script == "main_latent.py" else DECODER)]
        if script != "main_latent.py":
            arguments = ["--encoder-ckpt-root", str(self.root("main_latent.py", "undisturbed")), *arguments]
        root.mkdir(parents=True, exist_ok=True)
        pid = os.fork()
        if pid == 0:
            _run(script, arguments, root, fault, save_every)
        if fault.kind in ("kill", "SIGTERM", "SIGINT"):
            time.sleep(fault.at)
            os.kill(pid, {"kill": signal.SIGKILL}.get(fault.kind) or signal.Signals[fault.kind])
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def undisturbed(self, script: str) -> Counted:
        """Run to the end without a fault."""
        root, started = self.root(script, "undisturbed"), time.perf_counter()
        if script != "main_latent.py":
            _give_split(self.root("main_latent.py", "undisturbed"), root)
        code = self.start(script, root, [], Fault())
        if code:
            sys.exit(f"{script}: the undisturbed run ended with {code}: see {root / 'soak.log'}")
        counted = json.loads((root / "counted.json").read_text(encoding="utf-8"))
        return Counted(time.perf_counter() - started, **counted)

    def draw(self, kind: str, counted: Counted) -> Fault:
        """A moment for this kind of fault."""
        if kind in ("disk full", "kill in a write"):
            return Fault(kind, self.generator.randint(1, counted.writes))
        if kind == "read error":
            return Fault(kind, self.generator.randint(1, counted.reads))
        return Fault(kind, self.generator.uniform(0, counted.seconds))

    def trial(self, script: str, number: int, counted: Counted) -> None:
        """Interrupt once or twice, resume to the end, compare."""
        root = self.root(script, f"trial_{number}")
        kinds = self.generator.choices(list(FAULTS), list(FAULTS.values()), k=2)
        if script != "main_latent.py":
            _give_split(self.root("main_latent.py", "undisturbed"), root)
        save_every = self.generator.choice([600.0, 0.0])  # 0: after each step
        workers = self.generator.choice([0, 0, 0, 2])
        faults = [self.draw(kind, counted) for kind in kinds[: 2 if number % 3 == 0 else 1]]
        codes = []
        for place, fault in enumerate([*faults, *[Fault()] * 2]):
            flags = ["--set", f"num_workers={workers}", *["--resume"] * (place > 0)]
            codes.append(self.start(script, root, flags, fault, save_every))
            if codes[-1] == 0 and place >= len(faults):
                break
        expected = {"kill": {-9}, "kill in a write": {-9}, "SIGTERM": {143}, "SIGINT": {130}}
        problems = [
            f"exit code {code} after {fault.kind}"
            for fault, code in zip(faults, codes, strict=False)
            if code not in {0, *expected.get(fault.kind, {2})}
        ]
        problems += compare(self.root(script, "undisturbed"), root) if codes[-1] == 0 else ["cannot be resumed"]
        log = (root / "soak.log").read_text(encoding="utf-8", errors="replace")
        if "Traceback" in log and not (workers and -signal.SIGKILL in codes):  # orphans complain
            problems.append("traceback")
        row = self.tally.setdefault((script, kinds[0]), [0, 0, 0])
        for place, count in enumerate((True, codes[0] != 0, not problems)):
            row[place] += count
        if problems:
            said = " then ".join(
                f"{fault.kind} at {fault.at:g} (code {code})" for fault, code in zip(faults, codes, strict=False)
            )
            self.wrong.append(f"{root}: {said}, save every {save_every:g} s: {', '.join(problems)}")
            print(self.wrong[-1], flush=True)
        else:
            _remove(root)


def _run(script: str, arguments: list[str], root: Path, fault: Fault, save_every: float) -> None:
    """In the forked process: the script, and an end without this one's."""
    code = 1
    try:
        log = os.open(root / "soak.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.write(2, f"---- {fault}\n".encode())
        engine.SAVE_EVERY = save_every
        if "num_workers=2" in arguments:
            memory.SHARE_FOR_FRAMES = 0.0  # else the frames lie in memory, and there is nothing to load
        sys.argv = [script, *arguments]
        disk = _Disk(root.parent.parent, fault)
        try:
            errors.run(MAINS[script], cli.AFTER_INTERRUPTION)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        if fault.kind == "none":
            (root / "counted.json").write_text(json.dumps({"writes": disk.writes, "reads": disk.reads}))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def compare(expected: Path, found: Path) -> list[str]:
    """In what the run below one output root differs from the one below another."""
    problems = [f"left over: {path.name}" for path in found.rglob("*.partial")]
    one, other = (next(root.glob("dmr_runs*")) for root in (expected, found))
    for name in ("last.pty", "dmr_run.pty"):
        left, right = (checkpoints.load(run / "checkpoints" / name) for run in (one, other))
        for part in ("model", "optimizer", "encoder", "epoch", "best_epoch", "history", "patients", "begun"):
            if not same(getattr(left, part), getattr(right, part)):
                problems.append(f"{name}: {part}")
    if (one / "checkpoints" / "prediction.pty").exists():
        left, right = (torch.load(run / "checkpoints" / "prediction.pty", weights_only=True) for run in (one, other))
        problems += [] if same(left, right) else ["prediction.pty"]
    files = [path.relative_to(one) for path in (one / "results").rglob("*") if path.is_file()]
    for path in [*files, Path("logs/metrics.jsonl")]:
        if not (other / path).is_file():
            problems.append(f"{path} is missing")
        elif path.name == "metrics.json":
            scores = [json.loads((run / path).read_text(encoding="utf-8")) for run in (one, other)]
            left, right = ({name: scores[name] for name in scores if name not in UNLIKE} for scores in scores)
            problems += [] if left == right else [str(path)]
        elif (one / path).read_bytes() != (other / path).read_bytes():
            problems.append(str(path))
    return problems


def same(one: Any, other: Any) -> bool:
    """Whether nested values are equal, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _give_split(source: Path, root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "split.json").write_bytes((source / "split.json").read_bytes())


def _remove(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    root.rmdir()


def table(tally: dict[tuple[str, str], list[int]]) -> str:
    """Rows of the trials, those that were interrupted, and those that ended as the undisturbed run."""
    lines = [f"{'script':16}{'interruption':18}{'trials':>8}{'interrupted':>13}{'equal':>8}"]
    for script in MAINS:
        rows = {kind: tally[script, kind] for kind in FAULTS if (script, kind) in tally}
        if rows:
            rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
        lines += [f"{script:16}{kind:18}{row[0]:8}{row[1]:13}{row[2]:8}" for kind, row in rows.items()]
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=50, metavar="N", help="of each script (default: 50)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--scripts", nargs="+", choices=list(MAINS), default=list(MAINS))
    parser.add_argument("--folder", type=Path, help="an empty folder (default: a temporary one); wrong trials stay")
    flags = parser.parse_args()
    folder = (flags.folder or Path(tempfile.mkdtemp(prefix="soak-"))).resolve()
    soak = Soak(folder, random.Random(flags.seed))
    write_phantom(folder / "phantom", 12, seed=3, annotated=0.6)
    for script in MAINS:
        if script in flags.scripts or script == "main_latent.py":  # whose encoder the others need
            counted = soak.undisturbed(script)
            print(f"{script}: {counted}", flush=True)
        for number in range(flags.trials if script in flags.scripts else 0):
            soak.trial(script, number, counted)
    print(table(soak.tally))
    for line in soak.wrong:
        print(line)
    if not soak.wrong:
        _remove(folder)
    sys.exit(bool(soak.wrong))


if __name__ == "__main__":
    main()
