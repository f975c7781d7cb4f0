"""Finds the files that a path stands for: a file, a folder, or a pattern with `*`."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import Infeasible, listed, shown
from ..readings import reading
from .images import IMAGES, classes_of, images_of

__all__ = ["META", "REQUEST", "UNFINISHED", "files_of", "image_classes", "is_index", "kind_of", "stamps", "suffix_kind"]

_KINDS = {
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "lines", ".ndjson": "lines",
    ".npy": "npy", ".pt": "pt", ".pth": "pt", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".tar": "tar",
}  # fmt: skip
META = "meta.json"  # in an index
UNFINISHED = ".partial"  # how the name of the folder of an unfinished index ends
REQUEST = "request.json"  # in it: what it will be an index of
_STATE = "state.json"  # in a folder that `datasets.Dataset.save_to_disk` wrote


def files_of(path: str) -> list[Path]:
    """The files of a path, sorted by name: those of a folder (folders in it too) or of a pattern.

    The images of a folder are those that `images_of` finds; if there are none in its folders, those in itself. An index
    among the data, finished or not, is left out: its arrays are no data.

    Raises:
        Infeasible: there is no such file, the folder has no data files, or files of several kinds.
    """
    if "://" in path:
        raise Infeasible(f"{shown(path)} is an address of a network", "pass the path of a file of this machine")
    if glob.has_magic(path) and not os.path.exists(path):
        found = sorted(Path(name) for name in glob.glob(path, recursive=True))
        if not found:
            raise Infeasible(f"no file matches {shown(path)}", "pass a pattern that matches, or the path of a file")
        return _of_one_kind([file for each in _without_indexes(found) or found for file in _matched(each)], path)
    place = Path(path)
    with reading(path, "path", "pass the path of a file or a folder of this machine"):
        is_folder = place.is_dir()  # of a name that is too long, or has a zero byte, the system tells nothing
    if is_folder:
        if is_index(place):
            return [place / META]
        if (place / _STATE).is_file():
            return [place / _STATE]
        inside = _inside(place)
        if all(map(_is_image, inside)):  # also of none: images may be behind links alone
            inside = images_of(place) or inside
        if not inside:
            raise Infeasible(f"the folder {shown(path)} has no data files", f"pass a folder of {_kinds()}")
        return _of_one_kind(inside, path)
    if not place.is_file():
        raise Infeasible(
            f"there is no file {shown(path)}",
            "pass the path of a file, a folder or a pattern such as 'data/*.csv'"
            + ("; braces are not expanded: write * in place of {...}" if "{" in path else ""),
        )
    return [place]


def image_classes(path: str, files: Sequence[Path]) -> list[str]:
    """The class of each image of a path: its folder in the folder of the path; of a pattern, the folder that it is in."""
    return classes_of(files, Path(path) if os.path.isdir(path) else None)


def _matched(found: Path) -> list[Path]:
    """The files of one match of a pattern; of a folder of images all of them, as it may be the folder of a class."""
    if found.is_dir() and not is_index(found) and not (found / _STATE).is_file():
        inside = _inside(found)
        if inside and all(map(_is_image, inside)):
            return inside
    return files_of(str(found))


def _inside(folder: Path) -> list[Path]:
    return _without_indexes(sorted(file for file in folder.rglob("*") if file.is_file() and _kind(file) != ""))


def _is_image(file: Path) -> bool:
    return _kind(file) == "images"


def _without_indexes(found: Sequence[Path]) -> list[Path]:
    """Files and folders without those that are an index, or are in one."""
    folders = {folder for path in found for folder in path.parents}.union(path for path in found if path.is_dir())
    indexes = {folder for folder in folders if is_index(folder) or _is_unfinished(folder)}
    return [path for path in found if path not in indexes and indexes.isdisjoint(path.parents)] if indexes else [*found]


def _is_unfinished(folder: Path) -> bool:
    """Whether an index is being written there, or the writing was broken off."""
    return folder.suffix == UNFINISHED and (folder / REQUEST).is_file()


def kind_of(files: Sequence[Path]) -> str:
    """What files are: a key of `READERS`, "images", "saved" (a Hugging Face data set) or "index" (an index of batchwright).

    Raises:
        Infeasible: the ending of the name is not known.
    """
    if files[0].name == META:
        return "index"
    if files[0].name == _STATE:
        return "saved"
    kind = _kind(files[0])
    if not kind:
        raise Infeasible(f"{shown(str(files[0]))} ends in {shown(files[0].suffix)}", f"pass a file of {_kinds()}")
    return kind


def stamps(path: str) -> list[list[int]]:
    """Size and time of the last change of every file of a path: they differ if a file was written again."""
    found = [file.stat() for file in files_of(path)]
    return [[status.st_size, status.st_mtime_ns] for status in found]


def is_index(path: Path) -> bool:
    """Whether a folder is an index: it has `meta.json`, and that says so."""
    try:
        with (path / META).open("rb") as opened:
            return b'"batchwright_index"' in opened.read(64)
    except (OSError, ValueError):  # a zero byte in the path
        return False


def suffix_kind(name: str) -> str:
    """The kind of a file by the ending of its name; empty if it is not known."""
    return _kind(Path(name))


def _kind(file: Path) -> str:
    return "images" if file.name.lower().endswith(IMAGES) else _KINDS.get(file.suffix.lower(), "")


def _kinds() -> str:
    return f"{', '.join(_KINDS)} or images"


def _of_one_kind(files: list[Path], path: str) -> list[Path]:
    kinds = sorted({_kind(file) or file.name for file in files})
    if len(kinds) > 1:
        raise Infeasible(
            f"{shown(path)} has files of several kinds: {listed(kinds)}", "pass files of one kind, such as 'data/*.csv'"
        )
    return files
