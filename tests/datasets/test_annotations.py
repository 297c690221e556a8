"""Regions: classes by category id, drawn in the file's order, averaged without bias; damage costs one entry only."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pycocotools import mask as coco_mask

from src.datasets.annotations import (
    AnnotatedImage,
    draw_classes,
    match_frames,
    read_annotations,
    soft_target,
)
from src.datasets.source import Frame, Skipped
from src.errors import UserError

NAMES = ["left_breast", "right_breast", "left_nipple", "neck", "ROI"]
HEIGHT, WIDTH = 480, 640


def box(left: int, top: int, right: int, bottom: int) -> list[int]:
    return [left, top, right, top, right, bottom, left, bottom]


def coco(*annotations: dict[str, Any], height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    image = {"id": 7, "file_name": "T0001.1.1.S.2012-10-01.00.jpg", "height": height, "width": width}
    numbered = [{"id": number, "image_id": 7} | found for number, found in enumerate(annotations, start=1)]
    # Shuffled: an index into this list is not a class.
    categories = [{"id": number, "name": NAMES[number - 1]} for number in (4, 1, 5, 3, 2)]
    return {"images": [image], "annotations": numbered, "categories": categories}


def shape(category: int, *polygons: list[int]) -> dict[str, Any]:
    return {"category_id": category, "segmentation": list(polygons)}


def read(folder: Path, content: Any, background: str = "ROI") -> tuple[Any, dict[str, list[str]]]:
    path = folder / "regions.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    skipped = Skipped()
    return read_annotations(path, background, skipped), skipped.reasons


def drawn(folder: Path, content: Any, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    annotations, reasons = read(folder, content)
    assert not reasons
    return draw_classes(annotations.images[0], annotations.background, size)


def test_class_index_is_category_id_minus_one(tmp_path: Path) -> None:
    content = coco(shape(1, box(0, 0, 100, 100)), shape(4, box(200, 200, 300, 300)))
    annotations, reasons = read(tmp_path, content)
    assert annotations.class_names == tuple(NAMES)
    assert annotations.background == 4
    assert not reasons
    classes = drawn(tmp_path, content)
    assert (classes[50, 50], classes[250, 250], classes[400, 400]) == (0, 3, 4)


def test_background_may_be_any_category(tmp_path: Path) -> None:
    annotations, _ = read(tmp_path, coco(shape(1, box(0, 0, 100, 100)), shape(4, box(0, 0, 9, 9))), "neck")
    assert annotations.background == 3
    classes = draw_classes(annotations.images[0], annotations.background, (HEIGHT, WIDTH))
    assert set(np.unique(classes)) == {0, 3}


def test_later_shapes_overwrite_earlier_ones(tmp_path: Path) -> None:
    breast, nipple = shape(1, box(100, 100, 300, 300)), shape(3, box(180, 180, 220, 220))
    assert drawn(tmp_path, coco(breast, nipple))[200, 200] == 2
    assert drawn(tmp_path, coco(nipple, breast))[200, 200] == 0


def test_a_polygon_that_leaves_the_image_keeps_its_shape_inside(tmp_path: Path) -> None:
    # A diamond around (0, 240): clipped point by point it would become a triangle of another slope.
    classes = drawn(tmp_path, coco(shape(1, [-200, 240, 0, 40, 200, 240, 0, 440])))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = columns + np.abs(rows - 240) <= 200
    assert ((classes == 0) != inside).mean() < 0.002


def test_a_polygon_far_outside_its_image_is_skipped(tmp_path: Path) -> None:
    annotations, reasons = read(tmp_path, coco(shape(1, box(0, 0, 9, 9)), shape(2, [0, 0, 1e300, 0, 9, 9])))
    assert [index for index, _ in annotations.images[0].shapes] == [0]
    assert reasons == {
        "annotations whose polygon reaches further outside the image than the image is large": ["annotation 2"]
    }


def test_background_is_not_drawn(tmp_path: Path) -> None:
    breast = shape(1, box(100, 100, 300, 300))
    with_roi = drawn(tmp_path, coco(breast, shape(5, box(0, 0, 640, 480))))
    assert_array_equal(with_roi, drawn(tmp_path, coco(breast)))
    annotations, _ = read(tmp_path, coco(shape(5, box(0, 0, 640, 480))))
    assert annotations.images == ()


def test_several_polygons_are_one_region(tmp_path: Path) -> None:
    classes = drawn(tmp_path, coco(shape(2, box(0, 0, 50, 50), box(100, 100, 150, 150))))
    assert classes[25, 25] == classes[125, 125] == 1
    assert classes[75, 75] == 4
    assert (classes == 1).sum() == 2 * 50 * 50


def test_polygon_covers_the_pixels_inside_it(tmp_path: Path) -> None:
    expected = np.full((HEIGHT, WIDTH), 4)
    expected[120:360, 200:440] = 1
    assert_array_equal(drawn(tmp_path, coco(shape(2, box(200, 120, 440, 360)))), expected)


def test_polygon_beyond_the_frame_is_cut_off(tmp_path: Path) -> None:
    classes = drawn(tmp_path, coco(shape(2, box(-50, 400, 100, 900))))
    assert (classes == 1).sum() == 100 * 80


@pytest.mark.parametrize("compressed", [True, False])
def test_rle(tmp_path: Path, compressed: bool) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[100:200, 300:350] = 1
    if compressed:
        rle = coco_mask.encode(np.asfortranarray(mask))
        segmentation = {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}
    else:
        column = mask.ravel(order="F")
        ends = [*(np.flatnonzero(np.diff(column)) + 1).tolist(), column.size]
        segmentation = {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *ends]).tolist()}
    classes = drawn(tmp_path, coco({"category_id": 4, "segmentation": segmentation, "iscrowd": 1}))
    assert_array_equal(classes == 3, mask == 1)


def test_declared_size_scales_the_regions(tmp_path: Path) -> None:
    content = coco(shape(1, box(200, 150, 400, 300)), height=600, width=800)
    classes = drawn(tmp_path, content)
    expected = np.full((HEIGHT, WIDTH), 4)
    expected[120:240, 160:320] = 0
    assert_array_equal(classes, expected)
    annotations, _ = read(tmp_path, content)
    share = soft_target(annotations.images[0], 5, 4, (120, 160))[0]
    expected = np.zeros((120, 160))
    expected[30:60, 40:80] = 1
    assert_allclose(share, expected, atol=1e-6)


@given(
    polygons=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.lists(st.tuples(st.integers(0, WIDTH), st.integers(0, HEIGHT)), min_size=3, max_size=6),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_soft_target_is_the_mean_of_4_by_4_pixels(polygons: list[tuple[int, list[tuple[int, int]]]]) -> None:
    shapes = [(index, [np.array(points, dtype=float)]) for index, points in polygons]
    image = AnnotatedImage("a.jpg", HEIGHT, WIDTH, shapes)
    target = soft_target(image, 5, 4, (120, 160))
    one_hot = draw_classes(image, 4, (HEIGHT, WIDTH)) == np.arange(5)[:, None, None]
    assert target.dtype == np.float32
    assert_allclose(target, one_hot.reshape(5, 120, 4, 160, 4).mean((2, 4)), atol=1e-6)
    assert_allclose(target.sum(0), 1, atol=1e-6)


def test_soft_target_at_the_declared_size_is_one_hot(tmp_path: Path) -> None:
    annotations, _ = read(tmp_path, coco(shape(1, box(100, 100, 301, 303))))
    target = soft_target(annotations.images[0], 5, 4, (HEIGHT, WIDTH))
    assert set(np.unique(target)) == {0, 1}
    assert_array_equal(target.argmax(0), draw_classes(annotations.images[0], 4, (HEIGHT, WIDTH)))


GOOD = shape(1, box(100, 100, 300, 300))
RLE = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
DAMAGED = {
    "annotations whose image id is not in the file": [GOOD | {"image_id": 8}, GOOD | {"image_id": None}],
    "annotations whose category id is not in the file": [shape(6, box(0, 0, 9, 9)), GOOD | {"category_id": 0}],
    "annotations without a polygon or mask": [
        {"category_id": 1},
        shape(1),
        {"category_id": 1, "segmentation": None},
        {"category_id": 1, "segmentation": "text"},
    ],
    "annotations with a damaged polygon": [
        shape(1, [1, 2, 3, 4]),
        shape(1, [1, 2, 3, 4, 5, 6, 7]),
        {"category_id": 1, "segmentation": [["a", 2, 3, 4, 5, 6]]},
        {"category_id": 1, "segmentation": [[1, [2], 3, 4, 5, 6]]},
        {"category_id": 1, "segmentation": [[1, float("nan"), 3, 4, 5, 6]]},
        {"category_id": 1, "segmentation": [1, 2, 3, 4, 5, 6]},
    ],
    "annotations whose mask has another size than their image": [
        {"category_id": 1, "segmentation": RLE | {"size": [10, 10]}},
        {"category_id": 1, "segmentation": {"counts": [1]}},
    ],
    "annotations with a damaged mask": [
        *({"category_id": 1, "segmentation": RLE | {"counts": text}} for text in ("", "garbage", "z" * 12, "P", "é")),
        {"category_id": 1, "segmentation": RLE | {"counts": [5, 5]}},
        {"category_id": 1, "segmentation": RLE | {"counts": [-1, HEIGHT * WIDTH + 1]}},
        {"category_id": 1, "segmentation": RLE | {"counts": 5}},
        {"category_id": 1, "segmentation": {"size": [HEIGHT, WIDTH]}},
    ],
}


@pytest.mark.parametrize(
    ("reason", "damaged"), [(reason, entry) for reason, entries in DAMAGED.items() for entry in entries]
)
def test_damaged_entry_is_skipped_with_its_reason(tmp_path: Path, reason: str, damaged: dict[str, Any]) -> None:
    annotations, reasons = read(tmp_path, coco(damaged, GOOD))
    assert reasons == {reason: ["annotation 1"]}
    assert len(annotations.images[0].shapes) == 1


@pytest.mark.parametrize("broken", [{"height": None}, {"width": "640"}, {"file_name": 3}, {"height": 0}])
def test_damaged_image_is_skipped_with_its_reason(tmp_path: Path, broken: dict[str, Any]) -> None:
    content = coco(GOOD, GOOD | {"image_id": 9})
    content["images"].append(content["images"][0] | {"id": 9} | broken)
    annotations, reasons = read(tmp_path, content)
    assert len(annotations.images) == 1
    assert len(reasons["annotated images without id, file_name, height or width"]) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ([], "'images' is missing"),
        ({"images": [], "annotations": []}, "'categories' is missing"),
        ({"images": [3], "annotations": [], "categories": []}, "'images' is missing"),
        (coco() | {"categories": [{"id": 1, "name": "ROI"}, {"id": 3, "name": "neck"}]}, "ids 1 to 2"),
        (coco() | {"categories": [{"id": 1, "name": "ROI"}, {"id": 1, "name": "neck"}]}, "ids 1 to 2"),
        (coco() | {"categories": [{"id": 1, "name": "skin"}]}, "no category is named 'ROI'"),
    ],
)
def test_what_is_no_coco_file(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        read(tmp_path, content)
    assert "regions.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.json"):
        read_annotations(tmp_path / "absent.json", "ROI", Skipped())


def matched(*file_names: str) -> tuple[list[str], dict[str, list[str]]]:
    polygon = [(0, [np.zeros((3, 2))])]
    images = tuple(AnnotatedImage(name, HEIGHT, WIDTH, polygon) for name in file_names)
    frames = [
        Frame("0001", Path("0001/one.jpg"), "one"),
        Frame("0001", Path("0001/twice.jpg"), "twice"),
        Frame("0002", Path("0002/twice.jpg"), "twice"),
    ]
    skipped = Skipped()
    annotations = type("Found", (), {"images": images})()
    found = match_frames(frames, annotations, skipped)
    return sorted(frame.path.as_posix() for frame in found), skipped.reasons


def test_frames_are_found_by_name_and_by_path_where_names_repeat() -> None:
    assert matched("anywhere/one.jpg", "0002\\twice.jpg") == (["0001/one.jpg", "0002/twice.jpg"], {})


def test_image_without_a_frame_is_skipped() -> None:
    reason = "annotated images without a frame of that name"
    assert matched("one.jpg", "absent.jpg", "twice.jpg") == (["0001/one.jpg"], {reason: ["absent.jpg", "twice.jpg"]})
