"""index.html: the frames of a folder side by side, for any browser, without scripts and without a network."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from src.prediction.predictors import NOTICE, Classification, Result, Segmentation

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem; color: #202124; background: #f6f7f8; }
h1 { font-size: 1.3rem; margin: 0 0 .3rem; } h2 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.notice { background: #fff4ce; border: 1px solid #d9b84a; padding: .5rem .8rem; border-radius: 6px; font-weight: 600; }
.frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 1rem;
          align-items: start; margin-top: 1rem; }
article { background: #fff; border: 1px solid #d7dade; border-radius: 6px; padding: .7rem; overflow-wrap: anywhere; }
article.unlike { border: 2px solid #b3261e; }
article h3 { font-size: .9rem; margin: 0 0 .4rem; } img { width: 100%; display: block; }
table { border-collapse: collapse; font-size: .85rem; margin-top: .5rem; width: 100%; }
th, td { text-align: right; padding: .1rem .4rem; border-bottom: 1px solid #e4e6e9; font-weight: normal; }
th:first-child, td:first-child { text-align: left; } .left td { text-align: left; } thead th { color: #5f6368; }
.warning { color: #b3261e; font-weight: 600; margin: .4rem 0 0; }
.doubt { color: #8a5a00; margin: .2rem 0 0; } .fact { margin: .4rem 0 0; }
"""


@dataclass(frozen=True)
class Card:
    """One frame on the sheet: its name, picture, warning, and facts as a line and a table."""

    name: str
    picture: PurePosixPath
    unlike: str
    doubts: tuple[str, ...]
    """What anatomy hardly allows, a line a region."""
    fact: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def card(result: Result, picture: PurePosixPath) -> Card:
    """What the sheet shows of a result; `picture` is relative to the sheet."""
    unlike = fact = ""
    doubts: tuple[str, ...] = ()
    if result.unlike_training:
        unlike = f"Unlike the training data: distance {result.distance:.2f}, threshold {result.distance_threshold:.2f}"
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    if isinstance(result, Classification):
        fact = f"Probability of sick {result.verdict}; calibrated {result.calibrated:.3f}"
    if isinstance(result, Segmentation):
        doubts, least = tuple(result.warnings), result.least_agreement
        if least is not None:
            fact = f"Mirrored and changed copies agree least on the {least[0].replace('_', ' ')}: Dice {least[1]:.2f}."
        unit = {"C": "°C", "gray level": "gray levels"}.get(result.thermogram.unit, "")
        if unit:
            head = (f"left - right, {unit}", "mean", "median", "maximum")
            rows = tuple(
                (found.pair, *(_signed(value) for value in (found.mean, found.median, found.maximum)))
                for found in result.differences
            )
        else:
            fact += " No temperatures and no gray levels: nothing is measured."
    return Card(str(result.thermogram.name), picture, unlike, doubts, fact.strip(), head, rows)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def sheet(title: str, facts: Sequence[str], cards: Sequence[Card], left_out: Mapping[str, Sequence[str]]) -> str:
    """The page: facts about the run, what was left out and why, and a card a frame."""
    lines = "".join(f"<p class=fact>{_text(fact)}</p>" for fact in facts)
    omitted = ""
    if left_out:
        rows = "".join(
            f"<tr><td>{_text(reason)}</td><td>{len(items)}</td><td>{_text(', '.join(items[:5]))}"
            f"{' ...' if len(items) > 5 else ''}</td></tr>"
            for reason, items in sorted(left_out.items())
        )
        omitted = f"<h2>Left out or changed</h2><table class=left><tbody>{rows}</tbody></table>"
    return (
        f'<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content="width=device-width">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>\n<body><h1>{_text(title)}</h1>"
        f"<p class=notice>{_text(NOTICE)}</p>{lines}{omitted}\n"
        f"<div class=frames>\n{''.join(map(_article, cards))}</div></body></html>\n"
    )


def _article(shown: Card) -> str:
    link = quote(os.fsencode(shown.picture))
    warning = f"<p class=warning>{_text(shown.unlike)}</p>" if shown.unlike else ""
    warning += "".join(f"<p class=doubt>{_text(doubt)}</p>" for doubt in shown.doubts)
    fact = f"<p class=fact>{_text(shown.fact)}</p>" if shown.fact else ""
    table = ""
    if shown.rows:
        head = "".join(f"<th>{_text(cell)}</th>" for cell in shown.head)
        body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in shown.rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return (
        f"<article{' class=unlike' if shown.unlike else ''}><h3>{_text(shown.name)}</h3>"
        f'<a href="{link}"><img loading=lazy src="{link}" alt="{_text(shown.name)}"></a>'
        f"{warning}{fact}{table}</article>\n"
    )


def _text(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())
