"""`python -m benchmarks` prints the speed table; `python -m benchmarks scaling` plots time and memory against size."""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import scaling, timing, workload
from benchmarks.stages import STAGES
from benchmarks.timing import Row

HERE = Path(__file__).parent


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _line(row: Row) -> str:
    others = row.published, row.plain
    numbers = [_number(value) for value in (*others, row.ours, row.floor, *map(row.times, others))]
    return "| " + " | ".join([row.stage, row.unit, *numbers, row.target]) + " |"


def table() -> None:
    """Measure every stage, print it as soon as it is known, and write results.json."""
    rate = timing.operations_per_second() / 1e9
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, {rate:.0f} GFLOP/s float32")
    print("| stage | unit | published | plain | ours | floor | times published | times plain | target |")
    print("| --- " * 9 + "|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = workload.phantom(Path(folder))
        for stage in STAGES:
            rows.append(stage(data, Path(folder)))
            print(_line(rows[-1]), flush=True)
    (HERE / "results.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("table", "scaling"), default="table")
    if parser.parse_args().what == "scaling":
        scaling.plot(HERE / "scaling.png")
    else:
        table()


if __name__ == "__main__":
    main()
