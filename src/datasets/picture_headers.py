"""What a picture file says of itself beside its pixels: its size, how many pictures it holds, how it is turned."""

from typing import Any

from PIL import ExifTags, Image

_MOST_PREVIEWS = 16  # smaller copies in one TIFF
_PREVIEW = 5  # of a TIFF page's subfile type: a smaller copy (1) or a mask (4) of the picture


def webp_pixels(content: bytes) -> int:
    """The pixels that a WebP file declares; 0 of any other file."""
    head = content[:30]
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0
    if head[12:16] == b"VP8X":
        return (int.from_bytes(head[24:27], "little") + 1) * (int.from_bytes(head[27:30], "little") + 1)
    if head[12:16] == b"VP8L":
        sizes = int.from_bytes(head[21:25], "little")
        return ((sizes & 0x3FFF) + 1) * ((sizes >> 14 & 0x3FFF) + 1)
    return (int.from_bytes(head[26:28], "little") & 0x3FFF) * (int.from_bytes(head[28:30], "little") & 0x3FFF)


def is_series(image: Image.Image) -> bool:
    """Whether a file holds more than one picture, where smaller copies and masks of the first do not count."""
    if not getattr(image, "is_animated", False):
        return False
    if image.format == "MPO":
        others = getattr(image, "mpinfo", {}).get(0xB002, ())[1:]
        return not all("Thumbnail" in str(entry["Attribute"]["MPType"]) for entry in others)
    if image.format != "TIFF":
        return True
    previews = True
    for page in range(1, _MOST_PREVIEWS):
        try:
            image.seek(page)
        except EOFError:
            break
        previews = previews and bool(tiff_tag(image, 254, 0) & _PREVIEW)
    image.seek(0)
    return not previews


def orientation_of(image: Image.Image) -> int:
    """How the EXIF block says that a picture is to be turned, 1 to 8; 1 where it is damaged or absent."""
    if image.format == "TIFF":
        return 1  # Pillow turns these itself
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # whatever a damaged block makes the parser raise; viewers show such pictures as stored
        return 1


def tiff_tag(image: Image.Image, number: int, absent: Any) -> Any:
    return getattr(image, "tag_v2", {}).get(number, absent)
