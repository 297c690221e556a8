"""Writes what the documents take from the code: `python docs/generate.py`. A test keeps it true.

`docs/settings.md` holds every key of the YAML files; in `docs/design.md` the part between the two marks is the tree,
each module with the first sentence of its docstring, and what each part imports.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from model import DECODERS  # noqa: E402
from src import settings  # noqa: E402
from src.losses import LOSSES  # noqa: E402

BEGIN, END = "<!-- drawn by docs/generate.py -->", "<!-- end -->"
CLASSES = {
    "Every script": settings.Settings,
    "Encoder (main_latent.py)": settings.LatentSettings,
    "Decoders (main_binary.py, main_seg.py)": settings.DecoderSettings,
    "Healthy or sick (main_binary.py)": settings.ClassificationSettings,
    "Seven regions (main_seg.py)": settings.SegmentationSettings,
}
TYPES = vars(settings.common) | vars(settings.decoders)

WORDS = {
    "str": "text",
    "int": "whole number",
    "float": "number",
    "bool": "`true`, `false`",
    "None": "`null`",
    "Path": "path",
    "PathText": "path",
    "InputFolder": "folder",
    "OutputFolder": "folder",
    "Ratio": "a:b",
    "Side": "whole number",
    "Size": "[rows, columns]",
    "Views": "list of whole numbers",
    "Names": "list of names",
    "Weights": "list of numbers",
    "DecoderName": ", ".join(f"`{name}`" for name in DECODERS),
    "LossName": ", ".join(f"`{name}`" for name in LOSSES),
}


def settings_page() -> str:
    """Every key with its type, default and meaning, as `src/settings` has them."""
    lines = ["# Settings", "", "Made from `src/settings` by `python docs/generate.py`. `--set` wins over the YAML."]
    told: set[str] = set()
    for title, cls in CLASSES.items():
        written = _as_written(cls)
        lines += ["", f"## {title}", "| key | values | default | meaning |", "| --- | --- | --- | --- |"]
        for name in (name for name in cls.model_fields if name not in told):
            field = cls.model_fields[name]
            default = "none" if field.is_required() else _value(field.get_default(call_default_factory=True))
            annotation, meaning = written[name]
            lines.append(f"| `{name}` | {_words(annotation)} | {default} | {meaning} |")
        told |= set(cls.model_fields) - {"task"}  # each script has its own
    return "\n".join(lines) + "\n"


def _as_written(cls: type) -> dict[str, tuple[str, str]]:
    """Of each field its annotation, and the text below it as one line."""
    found: dict[str, tuple[str, str]] = {}
    for base in cls.__mro__[: cls.__mro__.index(settings.Settings) + 1]:
        (written_class,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(written_class, ast.ClassDef)
        for one, after in pairwise(written_class.body):
            if isinstance(one, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                meaning = " ".join(str(after.value.value).split()).replace("|", "\\|")
                written = one.annotation
                if isinstance(written, ast.Subscript) and ast.unparse(written.value).startswith("Of"):
                    written = written.slice  # without what the field belongs to
                found.setdefault(ast.unparse(one.target), (ast.unparse(written), meaning))
    return found


def _value(value: Any) -> str:
    return f"`{json.dumps(str(value) if isinstance(value, Path) else value).strip(chr(34))}`"


def _words(annotation: str) -> str:
    """`Size | None` as a person would say it; names of choices become the choices."""
    words = []
    for part in annotation.split(" | "):
        found = ast.literal_eval(part.removeprefix("Literal")) if part.startswith("Literal[") else None
        choices = found or (get_args(TYPES.get(part)) if part not in WORDS else ())
        words.append(WORDS.get(part) or ", ".join(f"`{choice}`" for choice in choices) or part)
    return " or ".join(words)


def tree() -> str:
    """The parts of `src` and `model`: what each is for, its modules, and what it imports."""
    lines = []
    for folder in [REPOSITORY / "model", *sorted(path.parent for path in (REPOSITORY / "src").glob("*/__init__.py"))]:
        name = folder.relative_to(REPOSITORY).as_posix()
        lines += ["", f"**{name}/** {_sentence(folder / '__init__.py')}"]
        known = sorted(set(_parts_known(folder)) - {name})
        lines += [f"Imports {', '.join(known)}." if known else "Imports no other part."]
        lines += ["", "| module | |", "| --- | --- |"]
        lines += [
            f"| {file.name} | {_sentence(file)} |" for file in sorted(folder.glob("*.py")) if "__" not in file.name
        ]
    lines += ["", "**src/** Beside the parts:", "", "| module | |", "| --- | --- |"]
    lines += [f"| {file.name} | {_sentence(file)} |" for file in sorted((REPOSITORY / "src").glob("[a-z]*.py"))]
    return "\n".join(lines).strip("\n")


def _sentence(file: Path) -> str:
    text = " ".join((ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split())
    return (text.split(". ")[0].split(" `python -m")[0].rstrip(".:?") + ".").replace("|", "\\|") if text else ""


def _parts_known(folder: Path) -> Iterator[str]:
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module and module.split(".")[0] == "model":
                yield "model"
            elif module and module.startswith("src.") and (REPOSITORY / "src" / module.split(".")[1]).is_dir():
                yield f"src/{module.split('.')[1]}"


def design_page() -> str:
    """`docs/design.md` with the tree drawn anew."""
    page = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{tree()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    (REPOSITORY / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    (REPOSITORY / "docs" / "design.md").write_text(design_page(), encoding="utf-8")
