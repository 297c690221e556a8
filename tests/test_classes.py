from src.classes import Classes


def test_the_background_has_no_region_and_the_value_0_wherever_it_stands() -> None:
    classes = Classes(("left_breast", "ROI", "neck"), 1)
    assert classes.regions == {0: "left_breast", 2: "neck"}
    assert classes.label_values == [1, 0, 3]
