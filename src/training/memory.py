"""How much memory there is and how much was used."""

import re
import resource
import sys
from pathlib import Path

import psutil
import torch

from src.training import distributed

SHARE_FOR_FRAMES = 1 / 8  # of the free memory, for each of the datasets whose frames may lie on the device


def free_memory(device: torch.device) -> int:
    """Bytes that can be taken on the device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


def room_for_frames(device: torch.device) -> float:
    """Bytes of the device that a dataset's frames and labels may take there."""
    return SHARE_FOR_FRAMES * free_memory(device) / (distributed.processes() if device.type == "cpu" else 1)


def peak_memory_mb(device: torch.device) -> float:
    """Largest resident memory of this process so far, in MB; on CUDA what its tensors took there at most."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")
    if status.exists():  # Linux; what getrusage says there may be the peak of the process that started this one
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
