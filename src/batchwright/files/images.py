"""Finds the images of a folder of classes, in the order of torchvision's `ImageFolder`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import Infeasible, shown
from ..readings import reading

__all__ = ["IMAGES", "classes_of", "images_of"]

IMAGES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # as in torchvision


def images_of(root: Path) -> list[Path]:
    """The images in the class folders of a folder, as `ImageFolder` numbers them; those beside the class folders are none.

    Classes come in the order of their names. The folders within a class are sorted by their whole paths, as text, and the
    images in each by their names. Links to folders are followed.

    Raises:
        Infeasible: a link leads to a folder that it is in, or to no file; or a folder cannot be read.
    """
    with reading(str(root), "path", "pass a folder whose folders can be read"):
        classes = sorted(entry.name for entry in _entries(root) if entry.is_dir())
        return [
            Path(folder, name)
            for each in classes
            for folder, names in sorted(_walked(os.path.join(root, each), (os.path.realpath(root),)))
            for name in sorted(names)
        ]


def classes_of(files: Sequence[Path], root: Path | None) -> list[str]:
    """The class of each image: the name of its folder in `root`; of the folder that it is in, without a root."""
    folders = [file.parent for file in files]
    name = {folder: _class(folder, root) for folder in set(folders)}
    return [name[folder] for folder in folders]


def _class(folder: Path, root: Path | None) -> str:
    below = () if root is None else folder.relative_to(root).parts
    return below[0] if below else os.path.basename(os.path.abspath(folder))


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _walked(folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """A folder and all folders in it, each with the names of its images."""
    real = os.path.realpath(folder)
    if real in above:
        raise Infeasible(
            f"{shown(folder)} is a link to a folder that it is in, so its images have no end", "remove the link"
        )
    names, folders = [], []
    for entry in _entries(folder):
        if entry.is_dir():
            folders.append(entry.path)
        elif entry.name.lower().endswith(IMAGES):
            if entry.is_symlink() and not entry.is_file():
                raise Infeasible(f"{shown(entry.path)} is a link to no file", "remove the link, or mend it")
            names.append(entry.name)
    yield folder, names
    for each in folders:
        yield from _walked(each, (*above, real))
