"""What lies in people's folders and is no frame: the one list that training, import and prediction go by."""

import os
import re
from pathlib import Path, PurePath

HIDDEN = "hidden files and folders"
FOLDER = "folders whose name ends as a picture's"
SYSTEM = "bins, caches and thumbnails of a system"
SECOND_LENS = "photographs of a camera's second lens, by their name"
PREDICTIONS = "folders of earlier predictions"
MASKS = "folders of masks or segmentations"

_HIDDEN = re.compile(r"\..*", re.DOTALL)
_SYSTEM = re.compile(
    # Bins and bookkeeping of Windows, macOS, Linux and of network storage, whose own folders begin with @.
    r"\$?recycle(d|r|[ ._-]?bin)?|#recycle|#snapshot|@.*|system volume information|found\.\d{3}|lost\+found|trash(es)?|"
    r"files_(trashbin|versions)|"
    r"__macosx|network trash folder|temporary items|thumbs\.db|ehthumbs.*\.db|desktop\.ini|icon\r|~snapshot|~\$.*|"
    r"__pycache__|"
    # Small copies that picture browsers make.
    r"(.*[ _.-])?thumb(nail)?s?([ _.-].*)?",
    re.IGNORECASE,
)
# FLIR's names, and the words that exports add. A word such as "rgb" or "photo" says nothing: heat maps have it too.
_SECOND_LENS = re.compile(r"dc[_-]\d+.*|(.*[ _.-])?(visible|visual|daylight)([ _.-].*)?", re.IGNORECASE)

_MASKS = re.compile(r"mask|segment|ground.?truth", re.IGNORECASE)
_WRITTEN = ("prediction.json", "frames.csv")  # beside pictures of frames, by every prediction


def foreign(path: PurePath, root: Path) -> tuple[str, PurePath] | None:
    """Why a path inside a data folder `root` is no frame, and which folder or file on the way is the reason; None if
    it may be one. Names are looked at, whether a folder holds predictions, and whether one of masks is a folder."""
    for place, part in enumerate(path.parts, 1):
        for reason, pattern in ((HIDDEN, _HIDDEN), (SYSTEM, _SYSTEM), (SECOND_LENS, _SECOND_LENS)):
            if pattern.fullmatch(part):
                return reason, PurePath(*path.parts[:place])
        folder = root.joinpath(*path.parts[:place])
        if all(os.access(folder / name, os.R_OK) for name in _WRITTEN):
            return PREDICTIONS, PurePath(*path.parts[:place])
        if _MASKS.search(part) and folder.is_dir():
            return MASKS, PurePath(*path.parts[:place])
    return None
