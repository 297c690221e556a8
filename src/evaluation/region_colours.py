"""The colours of regions, the same in every picture."""

REGION_COLOURS = ("#4477ff", "#22aa55", "#ff3344", "#ffd500", "#dd55dd", "#33ccdd", "#ff8822", "#996633", "#aaaaaa")
_NAMES = ("left_breast", "right_breast", "left_nipple", "right_nipple", "left_armpit", "right_armpit", "roi", "neck")
_OWN = dict(zip(_NAMES, REGION_COLOURS, strict=False))


def region_colour(index: int, name: str = "") -> str:
    """The colour of a class, as #rrggbb: that of its name, wherever it stands, and for other names that of its place.

    Colours of places repeat after nine.
    """
    return _OWN.get(name.lower().replace(" ", "_"), REGION_COLOURS[index % len(REGION_COLOURS)])
