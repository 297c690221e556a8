"""The commands that fill what the report has no scores of."""

import shlex
from collections.abc import Callable, Sequence

from src.report.runs import FOLDERS, Group, Task

Commands = Callable[[Task, str], str]
"""From task and case to the command that runs it."""


def not_run(root: Group, commands: Commands) -> list[tuple[str, str]]:
    """The cases of the output root without scores, each with its command; encoders only where a run sees one."""
    encoded, missing = any(run.is_encoded for run in root.runs.values()), []
    for name, (task, case) in FOLDERS.items():
        run = root.runs.get(name)
        if (run is None or not run.finished) and (encoded or task != "latent"):
            missing.append((f"{task}, {case}{': not finished' if run else ''}", commands(task, case)))
    return missing


def command_line(cfg_path: str, overrides: Sequence[str]) -> Commands:
    """Commands with the same settings folder and overrides as the report's own."""
    shared = [] if not cfg_path else ["--cfg-path", cfg_path]
    shared += ["--set", *overrides] if overrides else []

    def command(task: Task, case: str) -> str:
        if task == "latent":
            words = ["python", "main_latent.py", *(["--gray"] if case == "gray" else [])]
        else:
            words = ["python", "main_binary.py" if task == "classification" else "main_seg.py"]
            words += ["--gray_encoder"] if case.startswith("g_enc") else []
            words += ["--gray_decoder"] if case.endswith("g_dec") else []
        return shlex.join([*words, *shared])

    return command
