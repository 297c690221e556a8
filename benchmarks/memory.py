"""One training step in a process of its own: prints its peak resident memory in MB.

`python -m benchmarks.memory pretraining-gray|segmentation-gray`
"""

import sys
import tempfile
from pathlib import Path

from benchmarks import workload
from src.training.memory import peak_memory_mb


def main(kind: str) -> None:
    """Run one step of batch 16 on gray frames."""
    with tempfile.TemporaryDirectory() as folder:
        data = workload.phantom(Path(folder))
        if kind == "pretraining-gray":
            workload.pretraining(data, Path(folder), "gray", "min_steps_per_epoch=1").epoch()
        elif kind == "segmentation-gray":
            workload.segmentation(data, Path(folder), "gray", "min_steps_per_epoch=1").epoch()
        else:
            sys.exit(f"unknown kind {kind}")
        print(peak_memory_mb(workload.CPU))


if __name__ == "__main__":
    main(sys.argv[1])
