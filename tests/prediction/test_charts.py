"""The small charts of a series on the page of a prediction."""

import re

from src.evaluation.region_colours import region_colour
from src.prediction.charts import panels
from src.prediction.series import Course

NAMES = ("background", "left_breast", "right_breast", "left_nipple", "neck")


def test_charts_share_a_span_leave_gaps_and_tell_sides_apart() -> None:
    numbers = (1, 2, 3, 4, 6)
    courses = [
        Course("left_breast", numbers, (33.0, 32.5, None, 32.4, 32.6)),
        Course("right_breast", numbers, (33.1, 32.4, 32.2, 32.3, 32.5)),
        Course("left_nipple", numbers, (None,) * 5),
        Course("neck", numbers, (30.0, 30.1, 30.1, 30.2, 30.2)),
    ]
    charts = dict(panels(courses, NAMES))
    assert charts.keys() == {"breast", "neck"}
    spans = set()
    for name, chart in charts.items():
        ticks = [float(text) for text in re.findall(r">(\d+\.\d+)</text>", chart)]
        means = [mean for course in courses if name in course.region for mean in course.means if mean is not None]
        assert min(ticks) <= min(means)
        assert max(ticks) >= max(means)
        assert re.findall(r">(\d+)</text>", chart) == ["1", "3", "6"]
        spans.add(round(max(ticks) - min(ticks), 6))
    assert len(spans) == 1
    lines = dict(re.findall(r'<path d="([^"]*)"[^>]*style="fill: none; (stroke[^"]*)"', charts["breast"])[-2:])
    left, right = lines
    assert (left.count("M"), right.count("M")) == (2, 1)  # the frame without a mean is left out
    for index, line in ((1, left), (2, right)):
        assert f"stroke: {region_colour(index, NAMES[index])};" in lines[line]
        assert ("dasharray" in lines[line]) == (index == 2)
