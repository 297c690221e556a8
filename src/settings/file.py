"""YAML to typed settings: the only reader of YAML.

`load(path)` gives the settings of the task that the file names. A key that nothing reads, a wrong type or an
impossible value is a `UserError` of one line that names file, key, value and what is accepted.
"""

import difflib
import re
import types
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from src.errors import UserError, one_line
from src.files import decoded, read_plain
from src.places import RunFiles
from src.settings import REPOSITORY, TASKS, RunSettings, refuse_unknown

_YAML_LIMIT = 1 << 16  # bytes; a second's work for the parser
_OF_PUBLISHED_CODE = {"model_save_path", "output_save_path", "log_folder", "random_seed"}
"""Keys of the authors' settings files that ours never had."""
_NUMBERS = {
    "tag:yaml.org,2002:int": r"^[-+]?(?:0|[1-9]\d*)$",
    "tag:yaml.org,2002:float": r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$|^[-+]?\.inf$|^\.nan$",
}


class _Loader(yaml.SafeLoader):
    """SafeLoader with the numbers of YAML 1.2, that refuses a key given twice and aliases.

    The numbers of YAML 1.1 would read 1e-3 as a text, 7:3 as 423 and a patient 0017 as 15. A few aliases of aliases
    stand for billions of values, which any message that shows them would write out.
    """

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]
        letter: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBERS]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
            seen.add(key)
        return mapping

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "an alias (*): write the value out instead", mark)
        return super().compose_node(parent, index)


for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list("-+.0123456789"))


def _read_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    # The last three: what PyYAML raises where a value does not fit its tag, as in 2020-13-45 or `!!bool maybe`.
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, AttributeError) as error:
        detail = " ".join(str(error).split())
        raise UserError(f"{where}: not valid YAML: {detail}") from None


def load(path: str | Path, overrides: Sequence[str] = ()) -> RunSettings:
    """Read one YAML file into the settings of its task.

    `overrides` are 'key=value' strings that win over the file; values are read as YAML.

    Raises `UserError`, one line, for a missing file, broken YAML, an unknown key, a wrong type or an impossible value.
    """
    path = Path(path)
    values = read_record(path)
    for key in values:
        if not isinstance(key, str):
            raise UserError(f"{path}: key {key!r}: nothing reads this key; a key is a text")
    return _validated(values, path, overrides)


def load_run(folder: Path, overrides: Sequence[str] = ()) -> RunSettings:
    """The settings that a run folder records, with overrides as for `load`; `UserError` where it records none."""
    path = RunFiles(folder).settings
    values = read_record(path).get("settings")
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no settings of a run")
    refuse_unknown(values, path)
    return _validated(values, path, overrides)


def read_record(path: Path) -> dict[Any, Any]:
    """What a file of settings holds, or a run's logs/settings.yaml, which adds the provenance, as it stands there.

    Raises `UserError` where the file cannot be read or holds something else.
    """
    try:
        content = _read_yaml(decoded(read_plain(path, _YAML_LIMIT)), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read the settings: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: settings are 'key: value' lines, this file holds {type(content).__name__}")
    return content


def _validated(values: dict[Any, Any], path: Path, overrides: Sequence[str]) -> RunSettings:
    """The values of a file as settings, once 'key=value' strings have won over them."""
    origin = dict.fromkeys(values, str(path))
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key.strip():
            raise UserError(f"--set {override}: 'key=value' is accepted")
        values[key.strip()] = _read_yaml(value, f"--set {override}")
        origin[key.strip()] = "--set"
    task = values.get("task")
    if "task" not in values and _OF_PUBLISHED_CODE & values.keys():
        raise UserError(_instead(path))
    if not isinstance(task, str) or task not in TASKS:
        raise UserError(f"{path}: task: {one_line(repr(task), 400)}: one of {', '.join(TASKS)} is accepted")
    try:
        return TASKS[task].model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, TASKS[task], values, origin, str(path))) from None


def _instead(path: Path) -> str:
    """What to say of a settings file of the published code, whose files are called as ours are."""
    same = path.name if (REPOSITORY / "config" / path.name).is_file() else ""
    file = f"config/{same}" if same else "a file of config/"
    return (
        f"{path}: settings in the format of the published code, which differs (such as random_seed for seed, and no "
        f"task): {file} holds them in this one; leave --cfg-path out and say what differs with --set key=value"
    )


def _explain(
    error: ValidationError, kind: type[RunSettings], values: dict[str, Any], origin: dict[Any, str], path: str
) -> str:
    """The first of pydantic's complaints as one line, with a count of the others; a name that nothing reads goes before
    what is wrong with values, since it may be the very name whose value is missed."""
    problems = error.errors()
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    key = str(first["loc"][0]) if first["loc"] else ""
    where = f"{origin.get(key, path)}: {key}" if key else path
    value = values.get(key, first["input"])
    quoted = one_line(repr(value), 400)  # what follows must not be lost behind a long one
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, list(kind.model_fields), n=1, cutoff=0.7)
        hint = f"did you mean '{near[0]}'?" if near else f"accepted are {', '.join(sorted(kind.model_fields))}"
        text = f"{where}: {quoted}: nothing reads this key; {hint}"
    elif first["type"] == "missing" and len(first["loc"]) == 1:
        text = f"{where}: missing, {_accepted(kind, key)} is needed"
    elif first["type"] == "value_error":
        shown = "" if not key else f" {one_line(str(value), 400) if isinstance(value, Path) else quoted}:"
        text = f"{where}:{shown} {first['ctx']['error']}"
    else:
        accepted = _accepted(kind, key)
        text = f"{where}: {quoted}: {first['msg'].lower()}; {accepted} is accepted"
        if accepted.startswith("a list") and isinstance(value, str):
            text = f"{where}: {quoted}: {accepted} is accepted, in brackets: {key}='[{one_line(value, 100)}]'"
    return text + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else "")


def _accepted(kind: type[RunSettings], key: str) -> str:
    """Words for what a field takes, from its annotation and its bounds."""
    field = kind.model_fields[key]
    symbols = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{symbol} {getattr(rule, name)}"
        for rule in field.metadata
        for name, symbol in symbols.items()
        if hasattr(rule, name)
    ]
    return " ".join([_type_words(field.annotation), *bounds])


def _type_words(annotation: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    names[type(None)] = "null"
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type_words(get_args(annotation)[0])
    if origin is Literal:
        return " or ".join(repr(value) for value in get_args(annotation))
    if origin in (Union, types.UnionType):
        return " or ".join(_type_words(part) for part in get_args(annotation))
    if origin is tuple:
        return "a list of " + _type_words(get_args(annotation)[0]).removeprefix("a ") + "s"
    return names.get(annotation, str(annotation))
