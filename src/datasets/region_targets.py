"""Regions drawn as classes of pixels, and averaged to the frame's size as what a decoder learns."""

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from src.classes import Classes
from src.datasets.annotations import AnnotatedImage
from src.datasets.letterbox import Letterbox


def draw_classes(image: AnnotatedImage, background: int, size: tuple[int, int]) -> np.ndarray:
    """Class index of every pixel, uint8 [H, W], on a canvas of `size`; later shapes overwrite earlier, larger ones."""
    canvas = np.full(size, background, np.uint8, order="F")  # as the masks lie
    scale = np.array([size[1] / image.width, size[0] / image.height])
    for index, shape in image.shapes:
        if isinstance(shape, dict):
            mask = cv2.resize(coco_mask.decode(shape), size[::-1], interpolation=cv2.INTER_NEAREST)
        else:
            polygons = [(polygon * scale).ravel().tolist() for polygon in shape]
            mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *size)))
        np.copyto(canvas, index, where=mask.view(bool))
    return np.ascontiguousarray(canvas)


def draw_for(image: AnnotatedImage, classes: Classes, box: Letterbox) -> np.ndarray:
    """`draw_classes` on a canvas for `soft_target`, of whose pixels each has a share in one of the box's frame.

    It is the nearest whole multiple of the box's content to the declared size: 480 x 640 for a heat frame of 120 x 160,
    as the paper draws them.
    """
    rows, columns = box.content
    factor = max(1, round(min(image.height / rows, image.width / columns)))
    return draw_classes(image, classes.background, (rows * factor, columns * factor))


def soft_target(image: AnnotatedImage, classes: Classes, box: Letterbox) -> np.ndarray:
    """Share of each class in every pixel of the box's frame, float32 [K, H, W], summing to 1 over the classes.

    What is drawn is averaged in floating point. What the frame was filled up with is background: a region that reaches
    the border ends there.
    """
    drawn = draw_for(image, classes, box)
    shares = [
        cv2.resize((drawn == index).astype(np.float32), box.content[::-1], interpolation=cv2.INTER_AREA)
        for index in range(len(classes.names))
    ]
    target = np.zeros((len(classes.names), *box.frame), np.float32)
    target[classes.background] = 1
    target[:, *box.inside] = shares
    return target
