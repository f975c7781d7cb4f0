"""What programs of streams are made of, as text: sources and stories."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from hypothesis import strategies as st

from .programs import Draw, number, one
from .stream_stories import ALL

SPLIT = ("list", "strided", "turning", "shards", "lazy shards", "own", "jsonl", "parquet", "arrow", "tar", "rows")
UNSPLIT = ("plain", "standing", "cursors")
SELF_SPLIT = ("splitting", "hugging face")
RECOVERING = ("list", "strided", "shards", "lazy shards", "own", "plain")  # they go on after a reading that failed


class Source(NamedTuple):
    """A source in the text of a program.

    Attributes:
        text: the expression of the source, of rank `rank` of `world`.
        start: the number of its first sample.
        stop: the number after its last.
        fails: the numbers of which every reading fails.
        readers: "any" for any readers; "one" if one alone can read it, "same" if they cannot change, or both.
        once: whether a reading fails the first time.
        whole: whether it gives all samples of what it reads.
    """

    text: str
    start: int
    stop: int
    fails: frozenset[int] = frozenset()
    readers: str = "any"
    once: bool = False
    whole: bool = True


class Made(NamedTuple):
    """A stream in the text of a program.

    Attributes:
        before: lines that the stream needs.
        stream: the expression of the stream, without rank and world size.
        laws: what is asserted of what was given, a line each.
        source: what limits its readers.
        endless: whether an epoch has no end.
        steps: the steps of an epoch, if it has a number of them.
        samples: whether it gives single samples.
        shared: whether each worker must have a part of the source.
        most: the most batches of a stop.
        fits: whether nothing may refuse it.
    """

    before: list[str]
    stream: str
    laws: list[str]
    source: Source
    endless: bool = False
    steps: int | None = None
    samples: bool = False
    shared: bool = False
    most: int = 9
    fits: bool = True


def samples_text(start: int, stop: int, fails: Sequence[int] = (), once: str = "") -> str:
    """The text of samples."""
    here = sorted(one for one in fails if start <= one < stop)
    return f"S({start}, {stop}{f', {here}' if here else ''}{once})"


def parts_of(draw: Draw, start: int, stop: int) -> list[int]:
    """The borders of the parts of samples."""
    return [start, *sorted(draw(st.lists(st.integers(start, stop), max_size=4))), stop]


def source(
    draw: Draw,
    start: int = 0,
    *,
    least: int = 0,
    most: int = 48,
    kinds: Sequence[str] = (*SPLIT, *UNSPLIT, *SELF_SPLIT, "chain", "chain", "chain", "stream", "stream"),
    failing: str = "",
    deep: bool = True,
) -> Source:
    """A source of any of these kinds, whose samples begin with number `start`.

    Args:
        draw: hypothesis's.
        start: the number of its first sample.
        least: the fewest samples.
        most: the most.
        kinds: of which kind it may be.
        failing: "skip" if readings may fail that are skipped, "once" if one may fail the first time.
        deep: whether it may consist of sources.
    """
    kind = one(draw, *(kind for kind in kinds if deep or kind not in ("chain", "stream")))
    if kind in ("chain", "stream"):
        return composed(draw, kind, start, least, most, kinds, failing)
    stop = start + number(
        draw, max(least, 2 if kind in ("jsonl", "parquet", "arrow", "tar", "rows", "hugging face") else 0), most
    )
    borders = parts_of(draw, start, stop) if "shards" in kind or kind == "own" else [start, stop]
    fails: frozenset[int] = frozenset()
    once = ""
    last = {border - 1 for border in borders} if kind not in ("list", "shards") else set()
    may_fail = [at for at in range(start, stop) if at not in last]
    if failing == "skip" and kind in RECOVERING and may_fail:
        fails = frozenset(draw(st.lists(st.sampled_from(may_fail), min_size=1, max_size=5)))
    if failing == "once" and kind in (*RECOVERING, *UNSPLIT, "splitting", "turning") and stop > start:
        error = one(draw, "", "", ", error=KeyboardInterrupt")
        once = f", once=[{number(draw, start, stop - 1)}]{error}"

    def samples(first: int = start, after: int = stop) -> str:
        return samples_text(first, after, fails, once)

    shuffle = one(draw, "", ", shuffle=True") if kind not in ("list", "strided", "plain") else ""
    shards = ", ".join(samples(first, after) for first, after in pairwise(borders))
    rows = f"{start}, {stop}, {number(draw, 1, 4)}{shuffle}"
    texts = {
        "list": lambda: samples(),
        "strided": lambda: f"bw.online.Strided(Plain({samples()}))",
        "turning": lambda: f"bw.online.Strided(Turning({samples()}))",
        "shards": lambda: f"bw.online.Sharded([{shards}], same{shuffle})",
        "lazy shards": lambda: f"bw.online.Sharded([{shards}], iter{shuffle})",
        "own": lambda: f"Own(bw.online.Sharded([{shards}], iter{shuffle}))",
        "jsonl": lambda: f"jsonl({rows})",
        "parquet": lambda: f"parquet({rows})",
        "arrow": lambda: f"arrow({rows})",
        "tar": lambda: f"tar({rows})",
        "rows": lambda: (
            f"bw.online.huggingface(hugging_face({start}, {stop}, {number(draw, 1, min(4, stop - start))}){shuffle})"
        ),
        "plain": lambda: f"Plain({samples()})",
        "standing": lambda: f"Standing({samples()})",
        "cursors": lambda: f"Cursors({samples()})",
        "splitting": lambda: f"bw.online.SelfSplit(Splitting({samples()}, rank, world))",
        "hugging face": lambda: f"hugging_face({start}, {stop}, {number(draw, 1, min(4, stop - start))})",
    }
    readers = "one" if kind in UNSPLIT else "same" if kind in SELF_SPLIT else "any"
    return Source(texts[kind](), start, stop, fails, readers, bool(once))


def composed(draw: Draw, kind: str, start: int, least: int, most: int, kinds: Sequence[str], failing: str) -> Source:
    """A chain of sources, or a stream of samples that reads some."""
    found: list[Source] = []
    for _ in range(number(draw, 1, 3)):
        begin = found[-1].stop if found else start
        share = max(2, most // 3)
        found.append(source(draw, begin, least=-(-least // 1) if not found else 0, most=max(share, least), kinds=kinds,
                            failing=failing, deep=draw(st.integers(0, 3)) == 0))  # fmt: skip
    readers, whole = limits(found), all(one.whole for one in found)
    skip = ", on_error='skip'" if failing == "skip" else ""
    texts = [one.text for one in found]
    if kind == "stream":
        shared = ", ".join(f"'s{at}': {text}" for at, text in enumerate(texts))
        text = f"bw.online.mixed({{{shared}}}, at_end='continue'{skip})"
        if draw(st.integers(0, 3)) == 0:  # what makes no full batch at its end is lost
            groups, whole = number(draw, 1, 3), False
            when = one(draw, "wait", "redistribute")
            text = f"bw.online.balanced({text}, key=lambda s: n(s) % {groups}, batch_size={number(draw, 1, 4)}, "
            text += f"buffer={number(draw, 8, 60)}, when_short={when!r}, batches=False{skip})"
    elif readers == "one" and not skip and draw(st.booleans()):
        text = (
            f"torch_chain({', '.join(texts)})"
            if all(map(is_torch, texts))
            else f"bw.online.Chain([{', '.join(texts)}])"
        )
    else:
        text = f"bw.online.Chain([{', '.join(texts)}])"
    fails = frozenset(number for one in found for number in one.fails)
    return Source(text, start, found[-1].stop, fails, readers, any(one.once for one in found), whole)


def limits(found: Sequence[Source]) -> str:
    """What limits the readers of several sources."""
    return " ".join(word for word in ("one", "same") if any(word in one.readers for one in found)) or "any"


def is_torch(text: str) -> bool:
    return text.startswith(("Plain(", "Standing(", "Cursors("))


def story(draw: Draw, made: Made, workers_of: Sequence[int]) -> list[tuple[int, int, list[list[int]], str]]:
    """Some legs, the last of them to the end of its epoch."""
    readers, legs = made.source.readers, []
    fixed = one(draw, (1, 0), (2, 0), (3, 0)) if "one" not in readers else (1, 0)
    count = number(draw, 1, 4)
    for leg in range(count):
        world, workers = (1 if "one" in readers else number(draw, 1, 3)), one(draw, *workers_of)
        if "same" in readers:
            world, workers = fixed
        if "one" in readers and made.shared:
            workers = min(workers, 1)
        if made.samples or made.source.once:
            workers = 0
        last = leg == count - 1
        if last and "even(" in str(made.laws) and "same" not in readers:
            world, workers = 1, 0

        def stops(world: int = world, last: bool = False, least: int = 0) -> list[int]:
            if last and not made.endless:
                return [ALL] * world
            if last and "even(" in str(made.laws):
                return [number(draw, 0, 150) for _ in range(world)]
            most = number(draw, least, made.most)
            if made.steps:
                return [most] * world
            to_end = not made.endless and draw(st.integers(0, 7)) == 0
            return [ALL if to_end else number(draw, least, most) for _ in range(world)]

        loops = one(draw, 1, 1, 1, 2, 3)
        passes = [stops(last=last and at == loops - 1, least=min(1, loops - 1)) for at in range(loops)]
        words = [word for word in ("peek", "set", "copy", "often", "twice", "merged") if draw(st.integers(0, 3)) == 0]
        words += ["rewind"] if not made.source.once and "same" not in readers and draw(st.integers(0, 5)) == 0 else []
        way = "stream" if made.samples else one(draw, "", "", "plain", "stream")
        if way == "stream" and workers:
            way = ""
        words += [way] if way else []
        words += ["again"] if not made.source.once and draw(st.booleans()) else []
        words += ["steps"] if made.steps else []
        legs.append((world, workers, passes, " ".join(words)))
    return legs
