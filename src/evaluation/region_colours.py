"""The colours of regions, the same in every picture."""

REGION_COLOURS = ("#4477ff", "#22aa55", "#ff3344", "#ffd500", "#dd55dd", "#33ccdd", "#ff8822", "#996633", "#aaaaaa")


def region_colour(index: int) -> str:
    """The colour of a class, as #rrggbb; they repeat after nine."""
    return REGION_COLOURS[index % len(REGION_COLOURS)]
