"""What a pixel may be: one of the regions, or the background that no region covers."""

from typing import NamedTuple


class Classes(NamedTuple):
    """The names of all classes in the order of a network's maps, and the background's index among them."""

    names: tuple[str, ...]
    background: int

    @property
    def regions(self) -> dict[int, str]:
        """Index and name of each class but the background."""
        return {index: name for index, name in enumerate(self.names) if index != self.background}

    @property
    def label_values(self) -> list[int]:
        """The value of each class in the label pictures: 0 for the background, else its number in the COCO file."""
        return [0 if index == self.background else index + 1 for index in range(len(self.names))]


NO_CLASSES = Classes((), 0)
"""Those of a diagnosis."""
