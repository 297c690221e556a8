"""Regions: classes by category id, drawn in the file's order, averaged without bias; damage costs one entry only."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pycocotools import mask as coco_mask

from src.classes import Classes
from src.datasets.annotated_frames import match_frames
from src.datasets.annotations import AnnotatedImage, Annotations, read_annotations
from src.datasets.letterbox import letterbox
from src.datasets.region_targets import draw_classes, soft_target
from src.datasets.source import Frame, Skipped
from src.errors import UserError
from src.settings import Modality

NAMES = ("left_breast", "right_breast", "left_nipple", "neck", "ROI")
CLASSES = Classes(NAMES, 4)
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
    return draw_classes(annotations.images[0], annotations.classes.background, size)


def test_class_index_is_category_id_minus_one(tmp_path: Path) -> None:
    content = coco(shape(1, box(0, 0, 100, 100)), shape(4, box(200, 200, 300, 300)))
    annotations, reasons = read(tmp_path, content)
    assert annotations.classes == CLASSES
    assert not reasons
    classes = drawn(tmp_path, content)
    assert (classes[50, 50], classes[250, 250], classes[400, 400]) == (0, 3, 4)


def test_background_may_be_any_category(tmp_path: Path) -> None:
    annotations, _ = read(tmp_path, coco(shape(1, box(0, 0, 100, 100)), shape(4, box(0, 0, 9, 9))), "neck")
    assert annotations.classes.background == 3
    classes = draw_classes(annotations.images[0], annotations.classes.background, (HEIGHT, WIDTH))
    assert set(np.unique(classes)) == {0, 3}


def test_small_shapes_lie_above_large_ones_whatever_their_order(tmp_path: Path) -> None:
    breast, nipple = shape(1, box(100, 100, 300, 300)), shape(3, box(180, 180, 220, 220))
    mask = coco_mask.encode(np.asfortranarray(drawn(tmp_path, coco(breast)) == 0, np.uint8))
    as_mask = breast | {"segmentation": mask | {"counts": mask["counts"].decode()}}
    for large in (breast, as_mask):
        for shapes in ((large, nipple), (nipple, large)):
            classes = drawn(tmp_path, coco(*shapes))
            assert ((classes == 2).sum(), (classes == 0).sum()) == (40 * 40, 200 * 200 - 40 * 40)


def test_a_polygon_that_leaves_the_image_keeps_its_shape_inside(tmp_path: Path) -> None:
    # A diamond around (0, 240): clipped point by point it would become a triangle of another slope.
    classes = drawn(tmp_path, coco(shape(1, [-200, 240, 0, 40, 200, 240, 0, 440])))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    inside = columns + np.abs(rows - 240) <= 200
    assert ((classes == 0) != inside).mean() < 0.002


def renumbered(content: dict[str, Any], shift: int = 0, kind: Callable[[int], Any] = int) -> dict[str, Any]:
    """The same file with other category ids, and with all its numbers as another exporter writes them."""
    for item in content["categories"]:
        item["id"] = kind(item["id"] + shift)
    for item in content["annotations"]:
        item |= {"category_id": kind(item["category_id"] + shift), "image_id": kind(item["image_id"])}
    for item in content["images"]:
        item |= {key: kind(item[key]) for key in ("id", "height", "width")}
    return content


GROUP = {"id": 0, "name": "torso", "supercategory": "none"}


@pytest.mark.parametrize("kind", [int, float, str, lambda number: f" {number}.0"])
@pytest.mark.parametrize("shift", [0, -1])
@pytest.mark.parametrize("extra", [None, GROUP, {"id": 0, "name": "_background_"}, {"id": "0", "name": "bg"}])
def test_ids_and_sizes_as_exporters_write_them(
    tmp_path: Path, kind: Callable[[int], Any], shift: int, extra: dict[str, Any] | None
) -> None:
    shapes = (shape(1, box(0, 0, 100, 100)), shape(4, box(200, 200, 300, 300)))
    plain, _ = read(tmp_path, coco(*shapes))
    content = renumbered(coco(*shapes), 0 if extra else shift, kind)
    if extra:
        content["categories"] = [extra, *(item | {"supercategory": "torso"} for item in content["categories"])]
    annotations, reasons = read(tmp_path, content)
    assert reasons == {}
    assert annotations.classes == plain.classes
    assert [image.as_plain() for image in annotations.images] == [image.as_plain() for image in plain.images]


def test_a_class_of_id_0_that_is_drawn_or_no_exporters_own_is_a_class(tmp_path: Path) -> None:
    for extra, category in ((GROUP, 0), ({"id": 0, "name": "right_nipple"}, 1)):
        content = coco(shape(category, box(0, 0, 100, 100)))
        content["categories"] = [extra, *(item | {"supercategory": "torso"} for item in content["categories"])]
        assert read(tmp_path, content)[0].classes.names == (extra["name"], *NAMES)


def test_the_background_is_found_whatever_its_letters(tmp_path: Path) -> None:
    assert read(tmp_path, coco(GOOD), "roi")[0].classes.background == 4
    content = coco(GOOD)
    content["categories"].append({"id": 6, "name": "roi"})
    with pytest.raises(UserError, match="no category is named 'Roi'"):
        read(tmp_path, content, "Roi")


def test_image_ids_may_be_text(tmp_path: Path) -> None:
    content = coco(GOOD | {"image_id": "c0ffee"}, GOOD | {"image_id": "decaf"})
    content["images"][0]["id"] = "c0ffee"
    annotations, reasons = read(tmp_path, content)
    assert len(annotations.images[0].shapes) == 1
    assert reasons == {"annotations whose image id is not in the file": ["annotation 2"]}


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
    share = soft_target(annotations.images[0], CLASSES, letterbox((HEIGHT, WIDTH), (120, 160)))[0]
    expected = np.zeros((120, 160))
    expected[30:60, 40:80] = 1
    assert_allclose(share, expected, atol=1e-6)


@settings(max_examples=30)
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
    target = soft_target(image, CLASSES, letterbox((HEIGHT, WIDTH), (120, 160)))
    one_hot = draw_classes(image, 4, (HEIGHT, WIDTH)) == np.arange(5)[:, None, None]
    assert target.dtype == np.float32
    assert_allclose(target, one_hot.reshape(5, 120, 4, 160, 4).mean((2, 4)), atol=1e-6)
    assert_allclose(target.sum(0), 1, atol=1e-6)


def test_soft_target_at_the_declared_size_is_one_hot(tmp_path: Path) -> None:
    annotations, _ = read(tmp_path, coco(shape(1, box(100, 100, 301, 303))))
    target = soft_target(annotations.images[0], CLASSES, letterbox((HEIGHT, WIDTH), (HEIGHT, WIDTH)))
    assert set(np.unique(target)) == {0, 1}
    assert_array_equal(target.argmax(0), draw_classes(annotations.images[0], 4, (HEIGHT, WIDTH)))


GOOD = shape(1, box(100, 100, 300, 300))
RLE = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}
FILE_NAME = "T0001.1.1.S.2012-10-01.00.jpg"
DAMAGED = {
    "annotations whose category id is not in the file": [
        shape(6, box(0, 0, 9, 9)),
        GOOD | {"category_id": 0},
        GOOD | {"category_id": [1]},
    ],
    "annotations whose polygon reaches further outside the image than the image is large": [
        shape(2, [0, 0, 1e300, 0, 9, 9])  # type: ignore[list-item]
    ],
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
        {"category_id": 1, "segmentation": [[10**400, 2, 3, 4, 5, 6]]},
    ],
    "annotations in parts of the image's size (0 to 1), where pixels are expected": [
        {"category_id": 1, "segmentation": [[0.1, 0.1, 0.8, 0.1, 0.8, 1.0]]}
    ],
    "annotations whose mask has another size than their image": [
        {"category_id": 1, "segmentation": RLE | {"size": [10, 10]}},
        {"category_id": 1, "segmentation": {"counts": [1]}},
    ],
    "annotations with a damaged mask": [
        {"category_id": 1, "segmentation": RLE | {"counts": [0] * 2_000_000 + [HEIGHT * WIDTH]}},
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
def test_an_image_with_a_damaged_entry_is_left_out_whole(tmp_path: Path, reason: str, damaged: dict[str, Any]) -> None:
    content = coco(GOOD, damaged, GOOD, GOOD | {"image_id": 9})
    content["images"].append(content["images"][0] | {"id": 9, "file_name": "other.jpg"})
    annotations, reasons = read(tmp_path, content)
    assert reasons == {reason: ["annotation 2"], "annotated images with a skipped annotation": [FILE_NAME]}
    assert [image.file_name for image in annotations.images] == ["other.jpg"]


@pytest.mark.parametrize("image_id", [8, None, [7], {}, True, 7.5])
def test_an_entry_of_no_image_costs_no_image(tmp_path: Path, image_id: Any) -> None:
    annotations, reasons = read(tmp_path, coco(GOOD | {"image_id": image_id}, GOOD))
    assert reasons == {"annotations whose image id is not in the file": ["annotation 1"]}
    assert len(annotations.images) == 1


def test_a_damaged_background_costs_no_image(tmp_path: Path) -> None:
    annotations, reasons = read(tmp_path, coco(GOOD, {"category_id": 5, "segmentation": None}))
    assert reasons == {}
    assert len(annotations.images[0].shapes) == 1


NO_SIZE = "annotated images without id, file_name, height or width"


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"height": None}, NO_SIZE),
        ({"width": "wide"}, NO_SIZE),
        ({"width": 640.5}, NO_SIZE),
        ({"width": True}, NO_SIZE),
        ({"file_name": 3}, NO_SIZE),
        ({"height": 0}, NO_SIZE),
        ({"id": [9]}, NO_SIZE),
        ({"id": -1}, NO_SIZE),
        ({"height": 999_999, "width": 999_999}, "annotated images that declare more than 25 megapixels"),
    ],
)
def test_damaged_image_is_skipped_with_its_reason(tmp_path: Path, broken: dict[str, Any], reason: str) -> None:
    content = coco(GOOD)
    content["images"].append(content["images"][0] | {"id": 9} | broken)
    annotations, reasons = read(tmp_path, content)
    assert [image.file_name for image in annotations.images] == [FILE_NAME]
    assert reasons == {reason: [str(content["images"][1]["file_name"])]}


@pytest.mark.parametrize("number", [0, 1_000_000, 2**63])
def test_any_whole_number_is_an_image_id(tmp_path: Path, number: int) -> None:
    content = coco(GOOD | {"image_id": number})
    content["images"][0]["id"] = number
    annotations, reasons = read(tmp_path, content)
    assert len(annotations.images) == 1
    assert reasons == {}


def test_images_that_share_their_id_are_left_out(tmp_path: Path) -> None:
    content = coco(GOOD)
    for name in ("second.jpg", "third.jpg"):
        content["images"].append(content["images"][0] | {"file_name": name})
    annotations, reasons = read(tmp_path, content)
    assert annotations.images == ()
    assert reasons == {"annotated images that share their id": [FILE_NAME, "second.jpg", "third.jpg"]}


def test_a_declared_size_of_another_shape_needs_no_more_memory_than_it_declares() -> None:
    image = AnnotatedImage("a.jpg", 999_999, 50, [(0, [np.array([[0.0, 0], [50, 0], [50, 999_999], [0, 999_999]])])])
    assert_array_equal(soft_target(image, Classes(("region", "ROI"), 1), letterbox((HEIGHT, WIDTH), (120, 160)))[0], 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid JSON"),
        ([], "'images' is missing"),
        ({"images": [], "annotations": []}, "'categories' is missing"),
        ({"images": [3], "annotations": [], "categories": []}, "'images' is missing"),
        (coco() | {"categories": [{"id": 1, "name": "ROI"}, {"id": 3, "name": "neck"}]}, "ids 1 to 2"),
        (coco() | {"categories": [{"id": 1, "name": "ROI"}, {"id": 1, "name": "neck"}]}, "ids 1 to 2"),
        (coco() | {"categories": [{"id": [1], "name": "ROI"}]}, "ids 1 to 1"),
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


def matched(*file_names: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    polygon = [(0, [np.zeros((3, 2))])]
    annotations = Annotations(
        Classes(("region", "ROI"), 1), tuple(AnnotatedImage(name, HEIGHT, WIDTH, polygon) for name in file_names)
    )
    gray = ["0001/one.jpg", "0001/twice.jpg", "0002/twice.jpg", "0002/1/visit.jpg", "0002/2/visit.jpg"]
    gray += ["0003/twin.jpg", "0003/twin.jpeg"]
    heat = ["0001/one_snap.jpg", "0002/shown_snap.jpg"]
    frames: dict[Modality, list[Frame]] = {
        modality: [Frame(name[:4], Path(name), Path(name).stem.removesuffix("_snap")) for name in names]
        for modality, names in (("gray", gray), ("heat", heat))
    }
    skipped = Skipped()
    found = match_frames(frames, annotations, skipped)
    return {frame.path.as_posix(): image.file_name for frame, image in found.items()}, skipped.reasons


def test_frames_of_both_modalities_are_found_by_name() -> None:
    both = {"0001/one.jpg": "any/where/one.jpg", "0001/one_snap.jpg": "any/where/one.jpg"}
    assert matched("any/where/one.jpg") == (both, {})


def test_frames_are_found_by_path_where_names_repeat() -> None:
    names = ("0002\\twice.jpg", "images/0001/twice.jpg", "0002/2/visit.jpg")
    found, reasons = matched(*names)
    assert found == {"0002/twice.jpg": names[0], "0001/twice.jpg": names[1], "0002/2/visit.jpg": names[2]}
    assert reasons == {}


NO_FRAME, SEVERAL = "annotated images without a frame of that name", "annotated images whose name fits several frames"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent.jpg", NO_FRAME),
        ("0002/one.jpg", NO_FRAME),  # patient 0001's name in patient 0002's folder
        ("0002/absent/one.jpg", NO_FRAME),
        ("0001/shown.jpg", NO_FRAME),
        ("twice.jpg", SEVERAL),
        ("0002/visit.jpg", SEVERAL),
        ("twin.jpg", SEVERAL),
    ],
)
def test_image_without_a_frame_of_its_own_is_skipped(name: str, reason: str) -> None:
    assert matched(name) == ({}, {reason: [name]})


DATABASE = "T0001.1.1.S.2012-10-01.00"
EXPORTED = (
    f"{DATABASE}_snap.jpg",
    DATABASE,
    f"{DATABASE}.png",
    f"{DATABASE}.jpg.png",
    f"{DATABASE}.JPG",
    f"images/{DATABASE}.jpg",
    f"C:\\data\\{DATABASE}.jpg",
    f"90fbb0c7-{DATABASE}.jpg",
    f"12345678-{DATABASE}.jpg",
    f"0f8fad5b-d9cb-469f-a165-70867728950e-{DATABASE}.jpg",
    f" {DATABASE}.jpg ",
    f"upload/3/a1b2c3d4-{DATABASE}_snap.jpg",
    f"{DATABASE}_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9.jpg",
    f"{DATABASE.replace('.', '-')}_jpg.rf.Zk3qWmN8.jpg",
    f"/data/local-files/?d=DMR/0001/{DATABASE}.jpg",
    f"https://host/a/{DATABASE}.jpg?token=1.2",
    f"s3://bucket/{DATABASE}.jpg",
    f"my%20files%2F{DATABASE}.jpg",
    DATABASE.lower() + ".jpg",
    DATABASE.replace(".", "_") + ".jpg",
)


@pytest.mark.parametrize("name", EXPORTED)
def test_the_names_that_exporters_make_are_understood(name: str) -> None:
    frames = [Frame("0001", Path(f"0001/{stem}.jpg"), stem) for stem in (DATABASE, "other")]
    annotated = Annotations(Classes(("region", "ROI"), 1), (AnnotatedImage(name, 4, 4, [(0, [])]),))
    skipped = Skipped()
    assert list(match_frames({"gray": frames, "heat": []}, annotated, skipped)) == frames[:1]
    assert skipped.reasons == {}


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("20210405-12.jpg", ["12"]),  # a date, not a hash
        ("a-b.jpg", ["a.b", "a_b"]),  # either could be meant
        ("12.jpg", ["112"]),
        ("one_mask.jpg", ["one"]),
        ("rf.12345678.jpg", ["rf"]),
    ],
)
def test_a_name_that_is_not_certain_is_not_guessed(name: str, frames: list[str]) -> None:
    annotated = Annotations(Classes(("region", "ROI"), 1), (AnnotatedImage(name, 4, 4, [(0, [])]),))
    skipped = Skipped()
    listed = [Frame("0001", Path(f"0001/{stem}.jpg"), stem) for stem in frames]
    assert match_frames({"gray": listed, "heat": []}, annotated, skipped) == {}
    assert skipped.reasons == {NO_FRAME: [name]}


def test_a_folder_is_a_patient_where_other_paths_name_patients() -> None:
    # Patient 0009 is not in the data folder; 0001's frame of that name is not 0009's.
    assert matched("0009/one.jpg", "0002/twice.jpg") == (
        {"0002/twice.jpg": "0002/twice.jpg"},
        {NO_FRAME: ["0009/one.jpg"]},
    )


def test_images_that_share_their_frame_are_left_out() -> None:
    found, reasons = matched("one.jpg", "0002/twice.jpg", "0001/one.jpg")
    assert found == {"0002/twice.jpg": "0002/twice.jpg"}
    assert reasons == {"annotated images that share their frame": ["one.jpg", "0001/one.jpg"]}


def zigzag(points: int) -> list[float]:
    """An outline that runs up and down the whole image so many times."""
    return [coordinate for place in range(points) for coordinate in (place % WIDTH, HEIGHT * (place % 2))]


def test_outlines_longer_than_any_hand_draws_leave_their_image_out(tmp_path: Path) -> None:
    content = coco(GOOD, shape(1, zigzag(200_000)))  # drawn, it would take 4 gigabytes
    annotations, reasons = read(tmp_path, content)
    assert annotations.images == ()
    assert reasons == {"annotated images whose outlines are longer than any hand draws": [FILE_NAME]}


def test_many_polygons_leave_their_image_out(tmp_path: Path) -> None:
    content = coco(shape(1, *[box(1, 1, 3, 3)] * 5000))
    assert read(tmp_path, content)[0].images == ()


def test_a_million_points_of_a_short_outline_are_drawn(tmp_path: Path) -> None:
    corners = np.array([[10, 10], [60, 10], [60, 60], [10, 60], [10, 10]], float)
    sides = [np.linspace(corners[k], corners[k + 1], 25_000) for k in range(4)]
    points = np.concatenate(sides).ravel().tolist()
    assert_array_equal(drawn(tmp_path, coco(shape(1, points))), drawn(tmp_path, coco(shape(1, box(10, 10, 60, 60)))))


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../T0001.1.1.S.2012-10-01.00.jpg", "", "/", "..", "a\0b", "C:\\x.jpg"]
)
def test_a_file_name_is_only_compared_and_never_opened(tmp_path: Path, name: str) -> None:
    content = coco(GOOD)
    content["images"][0]["file_name"] = name
    annotations, _ = read(tmp_path, content)
    frame = Frame("0001", Path("0001/T0001.1.1.S.2012-10-01.00.jpg"), "T0001.1.1.S.2012-10-01.00")
    skipped = Skipped()
    found = match_frames({"gray": [frame], "heat": []}, annotations, skipped)
    assert list(found) == ([frame] if "T0001" in name else [])
    assert sum(map(len, skipped.reasons.values())) == (0 if found else 1)


@pytest.mark.parametrize("names", [["ROI", "ROI"], ["ROI", "a\nb"], ["ROI", "\ud800"], ["ROI", *map(str, range(255))]])
def test_categories_that_cannot_be_told_apart_or_drawn(tmp_path: Path, names: list[str]) -> None:
    content = coco() | {"categories": [{"id": place, "name": name} for place, name in enumerate(names, start=1)]}
    with pytest.raises(UserError, match="categor"):
        read(tmp_path, content)
