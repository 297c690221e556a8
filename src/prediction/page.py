"""index.html: the frames of a folder to look through, for any browser, without a network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from src.datasets.snapshots import palette_colours
from src.evaluation.region_colours import region_colour
from src.prediction.inputs import Unit
from src.prediction.measures import sides
from src.prediction.pictures import COLOUR_MAP, WIDTH, outlines
from src.prediction.predictors import NOTICE, Classification, Result, Segmentation
from src.prediction.series import Rate

_TEMPLATE = "page.html.jinja"
UNITS: dict[Unit, str] = {"C": "°C", "gray level": "gray levels", "none": ""}
DIGITS: dict[Unit, int] = {"C": 2, "gray level": 1, "none": 1}
"""Of means, maxima and differences; a scale has one less."""
UNLIKE = "unlike the training data"


@dataclass(frozen=True)
class RegionLine:
    """A region's line in the table of a card."""

    name: str
    index: int
    mean: str
    maximum: str
    difference: str
    struck: bool
    """Whether the difference means little, by a warning."""
    covers: int
    """Lines that the difference stands beside: 2 at the left one of a pair, 0 at the right one."""
    share: str
    pieces: int
    confidence: str
    agreement: str
    warned: bool


@dataclass(frozen=True)
class Card:
    """One frame on the page; paths are relative to it."""

    name: str
    height: int
    """Of the picture, whose width is `WIDTH`."""
    size: tuple[int, int]
    pictures: Mapping[str, PurePosixPath]
    """The picture, and what it links to: the one with regions, the labels."""
    low: str = ""
    high: str = ""
    unit: str = ""
    unlike: str = ""
    doubts: tuple[str, ...] = ()
    """The warnings, a line a region."""
    kinds: tuple[str, ...] = ()
    """The warnings without their regions, each once."""
    fact: str = ""
    note: str = ""
    probability: float | None = None
    features: tuple[tuple[str, str, str], ...] = ()
    """Name, value and share of what a diagnosis rests on, the largest share first."""
    agreement: float | None = None
    regions: tuple[RegionLine, ...] = ()
    outlines: Mapping[int, str] = field(default_factory=dict)
    differences: Mapping[str, float] = field(default_factory=dict)
    """Of means, left minus right, by pair; without those of regions with a warning."""


def card(result: Result, pictures: Mapping[str, PurePosixPath], note: str = "") -> Card:
    """What the page shows of a result; `note`: what else is to be said of the frame."""
    thermogram, shown = result.thermogram, result.scale
    unlike, digits = result.unlike_training is True, DIGITS[thermogram.unit] - 1
    words = f"Unlike the training data: distance {_number(result.distance)}, threshold "
    words += _number(result.distance_threshold)
    base = Card(
        name=str(thermogram.name),
        height=max(1, round(thermogram.size[0] * WIDTH / thermogram.size[1])),
        size=thermogram.size,
        pictures=pictures,
        low="" if shown is None else f"{'≤ ' * shown.is_cut}{shown.low:.{digits}f}",
        high="" if shown is None else f"{shown.high:.{digits}f}",
        unit=UNITS[thermogram.unit],
        unlike=words if unlike else "",
        note=note,
        kinds=(UNLIKE,) * unlike,
        fact="" if shown is not None else "Colours alone: neither degrees nor gray levels are known.",
    )
    if isinstance(result, Classification):
        fact = f"Probability of sick {result.verdict}"
        fact += "" if result.calibrated is None else f"; calibrated {result.calibrated:.3f}"
        return replace(base, fact=fact, probability=result.probability, features=tuple(_feature_lines(result)))
    return _with_regions(base, result) if isinstance(result, Segmentation) else base


def _feature_lines(result: Classification) -> Iterator[tuple[str, str, str]]:
    for each in sorted(result.features, key=lambda feature: -abs(feature.share)):
        # No value says which side is warmer, so none has a plus.
        yield each.feature.replace("_", " "), _signed(each.value).removeprefix("+"), _signed(each.share)


def _with_regions(base: Card, result: Segmentation) -> Card:
    warnings = [warning for judged in result.plausibility for warning in judged.warnings]
    least = result.least_agreement
    sure = {each.pair: each.mean for each in result.differences if not result.doubts(each.pair)}
    return replace(
        base,
        fact=f"{base.fact} Found at a second look, at the negative too.".strip() if result.second else base.fact,
        doubts=tuple(result.warnings),
        kinds=tuple(dict.fromkeys((*base.kinds, *warnings))),
        agreement=None if least is None else round(least[1], 4),
        regions=tuple(_lines(result)),
        outlines=outlines(result),
        differences={pair.replace("_", " "): round(value, 4) for pair, value in sure.items() if value is not None},
    )


def _lines(result: Segmentation) -> list[RegionLine]:
    regions, digits = result.classes.regions, DIGITS[result.thermogram.unit]
    by_pair = {found.pair: found for found in result.differences}
    agreed = result.agreement or (None,) * len(result.classes.names)
    lines, names = [], list(regions.values())
    for index, measured, judged in zip(regions, result.regions, result.plausibility, strict=True):
        pair = sides(measured.region, names)
        difference = by_pair.get(measured.region.lower().partition("_")[2]) if pair is not None else None
        lines.append(
            RegionLine(
                name=measured.region.replace("_", " "),
                index=index,
                mean=_number(measured.mean, digits),
                maximum=_number(measured.maximum, digits),
                difference="" if difference is None else _signed(difference.mean, digits),
                struck=difference is not None and difference.mean is not None and bool(result.doubts(difference.pair)),
                covers=_covers(pair, names, measured.region),
                share=f"{100 * judged.share:.1f}" if judged.share >= 0.001 else f"{100 * judged.share:.2f}",
                pieces=judged.pieces,
                confidence=_number(result.confidences[index]),
                agreement=_number(agreed[index]),
                warned=bool(judged.warnings),
            )
        )
    return lines


def _covers(pair: tuple[str, str] | None, names: Sequence[str], region: str) -> int:
    """How many lines the cell of the difference takes: two where the right region follows the left one."""
    if pair is None or names.index(pair[1]) != names.index(pair[0]) + 1:
        return 1
    return 2 if region == pair[0] else 0


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"  # noqa: RUF001, what stands for no number in print


def _signed(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "–"  # noqa: RUF001
    shown = f"{value:+.{digits}f}"
    return shown.replace("-", "−") if float(shown) else shown[1:]  # noqa: RUF001


@dataclass(frozen=True)
class SeriesPart:
    """One series on the page."""

    name: str
    patient: str
    date: str
    frames: int
    unit: str
    panels: list[tuple[str, Markup]]
    """Title and chart."""
    rates: list[tuple[str, list[tuple[str, list[str]]]]]
    """As `rate_lines` gives them."""


def rate_lines(found: Sequence[Rate]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Of cooling and of rewarming, what it is called and a line a pair of regions, or a region without another side.

    A line is the name, and left, right and their difference, or the one region.
    """
    if not found:
        return []
    turn = found[0].coldest
    cooling, rewarming = _rates(found, "cooling"), _rates(found, "rewarming")
    return [(f"cooling until frame {turn}", cooling), (f"rewarming from frame {turn} on", rewarming)]


def _rates(found: Sequence[Rate], kind: Literal["cooling", "rewarming"]) -> list[tuple[str, list[str]]]:
    slopes = {rate.region: rate.cooling if kind == "cooling" else rate.rewarming for rate in found}
    lines = []
    for rate in found:
        pair, slope = sides(rate.region, slopes), _signed(slopes[rate.region], 3)
        if pair is None:
            lines.append((rate.region.replace("_", " "), [slope, "", ""]))
        elif rate.region == pair[0]:
            difference = rate.cooling_difference if kind == "cooling" else rate.rewarming_difference
            cells = [slope, _signed(slopes[pair[1]], 3), _signed(difference, 3)]
            lines.append((rate.region.partition("_")[2].replace("_", " "), cells))
    known = any(slope is not None for slope in slopes.values())
    return lines if known else []


@dataclass(frozen=True)
class Page:
    """What the template is filled with."""

    title: str
    facts: Sequence[str]
    files: Sequence[str]
    """What lies beside the page and is linked to."""
    regions: Sequence[tuple[int, str]]
    """Class index and name of those that are looked for."""
    cards: Sequence[Card]
    series: Sequence[SeriesPart]
    left_out: Mapping[str, Sequence[str]]
    notice: str = NOTICE

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """The warnings that there are, and on how many frames each is, the most frequent ones first."""
        return Counter(kind for each in self.cards for kind in each.kinds).most_common()

    @property
    def warned(self) -> int:
        """Frames with a warning."""
        return sum(bool(each.kinds) for each in self.cards)

    @property
    def pairs(self) -> list[str]:
        """The pairs of regions that a difference is known of on any frame."""
        return list(dict.fromkeys(pair for each in self.cards for pair in each.differences))

    @property
    def colour_map(self) -> str:
        """The colours of the pictures from cold to warm, for a gradient in CSS."""
        return ", ".join(f"#{bytes(colour).hex()}" for colour in palette_colours(COLOUR_MAP)[::17])

    @property
    def colours(self) -> list[tuple[int, str]]:
        """Class index and colour of the regions."""
        return [(index, region_colour(index, name)) for index, name in self.regions]


def render(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"text": _text, "link": _link}
    return environment.get_template(_TEMPLATE).render(page=page)


def _text(text: str) -> str:
    """A name of a file is bytes, not always text."""
    return text.encode("utf-8", "replace").decode()


def _link(path: PurePosixPath | str) -> str:
    return quote(os.fsencode(path))
