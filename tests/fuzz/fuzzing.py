"""Inputs that are nearly right: valid files with bytes, entries or types changed, and pure noise."""

import copy
import json
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from src.errors import UserError

_INPUTS = int(os.environ.get("FUZZ_INPUTS", "10000"))


MOST_SECONDS = 5.0
"""Of computing, for one input."""


def is_long() -> bool:
    """Whether the long profile was asked for; known once pytest has read its options."""
    return settings.get_current_profile_name() == "long"


def fuzzed(few: int = 100) -> settings:
    """The settings of a fuzz test: so many inputs by default, always the same; many new ones in the long profile."""
    return settings(
        max_examples=_INPUTS if is_long() else few,
        derandomize=not is_long(),
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@dataclass
class Tally:
    """What became of the inputs of one test."""

    inputs: int = 0
    refused: int = 0
    slowest: float = 0.0
    """Seconds of computing."""
    grown: int = 0
    """Bytes by which the peak of resident memory rose."""


TALLIES: dict[str, Tally] = defaultdict(Tally)


def tally(name: str) -> Tally:
    """The tally of a test."""
    return TALLIES[name]


def attempt(name: str, read: Callable[[], Any], *refusals: type[Exception]) -> Any:
    """Call a reader: its result, or None where it refuses with one of `refusals` or a `UserError` of one line."""
    found = TALLIES[name]
    found.inputs += 1
    begin = time.process_time()  # of a busy machine the wall clock says nothing
    try:
        return read()
    except (UserError, *refusals) as error:
        assert isinstance(error, refusals) or re.fullmatch(".{1,1000}", str(error))  # noqa: PT017
        found.refused += 1
        return None
    finally:
        spent = time.process_time() - begin
        found.slowest = max(found.slowest, spent)
        assert spent < MOST_SECONDS or not is_long()


_ODD_BYTES = (
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b" ",
    b"'",
    b'"',
    b"%s",
    b"9" * 400,
    b"1e999",
    b"nan",
    b"-",
    b"<",
    b"[" * 3000,
)


def damaged(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes of one of these files after some accidents; one time in twenty any bytes."""

    def change(seed: int, noise: bytes) -> bytes:
        random = Random(seed)
        content = bytearray(noise if random.random() < 0.05 else random.choice(valid))
        for _ in range(random.choice((1, 1, 2, 3, 8))):
            start = random.randrange(len(content) + 1)
            # Headers are short, and where what follows is told.
            start = start if random.random() < 0.5 else min(start, random.randrange(200))
            end = start + random.choice((1, 1, 2, 4, 16, 300))
            match random.randrange(7):
                case 0:
                    del content[start:]
                case 1:
                    del content[start:end]
                case 2:
                    content[start:start] = content[start:end] * random.choice((1, 2, 50))
                case 3:
                    content[start:end] = random.choice(_ODD_BYTES)
                case 4:
                    content[start:end] = random.randbytes(len(content[start:end]))
                case 5:
                    other = random.choice(valid)
                    content[start:] = other[random.randrange(len(other) + 1) :]
                case _:
                    if start < len(content):
                        content[start] ^= 1 << random.randrange(8)
        return bytes(content)

    return st.builds(change, st.integers(0, 2**64), st.binary(max_size=500))


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2, 255, 256, 2**31, 2**63, 10**30, 10**400, 0.5, -0.0, 1e308, 5e-324),
    *(float("nan"), float("inf"), "", "a", "\ud800", "line\nend", "\0", "../../up", "/etc/passwd", "0001", "x" * 5000),
    *([], {}, [[]], [None], {"": {}}, [1] * 300, _nested(50), "Ω" * 300, "1e999", "test", "train", 7.5, 640, 480),
)


def mutated(valid: Sequence[Any], odd: Sequence[Any] = ODD_VALUES) -> st.SearchStrategy[Any]:
    """One of these nested values with some entries removed, repeated, exchanged or replaced by odd ones."""

    def change(seed: int) -> Any:
        random = Random(seed)
        root = [copy.deepcopy(random.choice(valid))]
        for _ in range(random.choice((1, 1, 2, 4))):
            holder, key = _place(root, random)
            match random.randrange(5):
                case 0 if holder is not root:
                    del holder[key]
                case 1:
                    other, place = _place(root, random)
                    holder[key] = copy.deepcopy(other[place])
                case 2 if isinstance(holder, list) and holder is not root:
                    holder[key:key] = copy.deepcopy(holder[key : key + 1])
                case 3 if isinstance(holder, dict):
                    holder[random.choice(("", "id", "zzz", "a\nb"))] = holder.pop(key)
                case _:
                    holder[key] = copy.deepcopy(random.choice(odd))
        return root[0]

    return st.builds(change, st.integers(0, 2**64))


def _place(root: list[Any], random: Random) -> tuple[Any, Any]:
    """A random entry below `root`: what holds it, and its key or index there."""
    holder: Any = root
    key: Any = 0
    while isinstance(holder[key], dict | list) and holder[key] and random.random() < 0.8:
        holder = holder[key]
        key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
    return holder, key


def damaged_json(valid: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """JSON whose values were changed, or whose bytes were."""
    texts = [json.dumps(value).encode() for value in valid]
    return st.one_of(
        mutated(valid).map(lambda value: json.dumps(value).encode()),
        damaged(texts),
        st.integers(1, 100_000).map(lambda depth: b"[" * depth),
    )
