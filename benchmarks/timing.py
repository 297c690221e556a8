"""Seconds, bytes and arithmetic floors, measured on the machine at hand."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Work = Callable[[], Any]


@dataclass
class Row:
    """One stage: the obvious PyTorch, ours, what the arithmetic alone takes, and the published code's operations.

    None where they cannot be run.
    """

    stage: str
    plain: float | None
    ours: float
    target: str
    floor: float | None = None
    unit: str = "s"
    published: float | None = None

    def times(self, other: float | None) -> float | None:
        """How many times faster ours is."""
        return other / self.ours if other else None


def seconds(work: Work) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(plain: Work, ours: Work, repeats: int) -> tuple[float, float]:
    """Median seconds of both, taken in turns so that a busy machine slows both; each is run once before."""
    plain(), ours()
    times = [(seconds(plain), seconds(ours)) for _ in range(repeats)]
    return statistics.median(p for p, _ in times), statistics.median(o for _, o in times)


def operations(work: Work) -> float:
    """Floating-point operations of the convolutions and matrix products in one call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def operations_per_second(dtype: torch.dtype = torch.float32) -> float:
    """What a matrix product of this number format reaches here: the best of several."""
    size = 2048
    a, b = torch.randn(2, size, size).to(dtype).unbind()
    return 2 * size**3 / min(seconds(lambda: a @ b) for _ in range(7))


def peak_gigabytes(kind: str) -> float:
    """Largest resident memory of one step of this kind in a process of its own (benchmarks/workload.py)."""
    command = [sys.executable, "-m", "benchmarks.workload", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]) / 1024
