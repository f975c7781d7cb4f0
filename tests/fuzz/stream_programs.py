"""Short programs, made up by hypothesis: a stream of any kind over any source, a story of runs and kills, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

from hypothesis import strategies as st

from .programs import named, number, one
from .stream_counting import ALL

Draw = Callable[[Any], Any]
SEEDS = st.integers(0, 3) | st.integers(0, 2**64 - 1)
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
    stop = start + number(draw, max(least, 2 if kind in ("jsonl", "parquet", "arrow", "tar", "rows", "hugging face") else 0), most)
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
    shards = ", ".join(samples(first, after) for first, after in zip(borders, borders[1:], strict=False))
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
        "rows": lambda: f"bw.online.huggingface(hugging_face({start}, {stop}, {number(draw, 1, min(4, stop - start))}){shuffle})",
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
        text = f"torch_chain({', '.join(texts)})" if all(map(is_torch, texts)) else f"bw.online.Chain([{', '.join(texts)}])"
    else:
        text = f"bw.online.Chain([{', '.join(texts)}])"
    fails = frozenset(number for one in found for number in one.fails)
    return Source(text, start, found[-1].stop, fails, readers, any(one.once for one in found), whole)


def limits(found: Sequence[Source]) -> str:
    """What limits the readers of several sources."""
    return " ".join(word for word in ("one", "same") if any(word in one.readers for one in found)) or "any"


def is_torch(text: str) -> bool:
    return text.startswith(("Plain(", "Standing(", "Cursors("))


def table(draw: Draw, name: str, values: st.SearchStrategy[Any], of: str) -> tuple[list[Any], str]:
    """A function of a sample, as a table that goes on from its start; and its text."""
    found = draw(st.lists(values, min_size=1, max_size=7))
    return found, f"{name} = lambda s: {found}[n(s) % {len(found)}]"


def sound(numbers: range, lost: set[int] | frozenset[int]) -> str:
    return f"sorted({{*{numbers}}} - {set(sorted(lost))})" if lost else f"[*{numbers}]"


def failures(draw: Draw) -> tuple[str, str]:
    """How readings fail, and the argument that skips them."""
    failing = one(draw, "", "skip", "skip", "once")
    return failing, ", on_error='skip'" if failing == "skip" else ""


def by_length(draw: Draw, kind: str) -> Made:
    """Of `budgeted` and `packed`."""
    failing, skip = failures(draw)
    found = source(draw, failing=failing)
    lengths, line = table(draw, "length", st.integers(0 if skip else 1, 12), "length")
    before = [line]
    capacity = max(1, *lengths) + number(draw, 0, 20)
    buffer = number(draw, 1, 30)
    lost = set(found.fails) | {at for at in range(found.start, found.stop) if not lengths[at % len(lengths)]}
    extra = f", buffer={buffer}{skip}{named(draw, seed=SEEDS)}"
    if draw(st.integers(0, 4)) == 0:
        weights, line = table(draw, "size", st.integers(1, 9), "bytes")
        before.append(line)
        extra += f", buffer_bytes={max(weights) + number(draw, 0, 40)}, size=size"
    if kind == "budgeted":
        samples = one(draw, None, None, 1, 3)
        tokens = None if samples and draw(st.booleans()) else capacity
        text = f"bw.online.budgeted({found.text}, length=length, max_tokens={tokens}, max_samples={samples}{extra}"
        laws = [f"budget(given, length, {tokens}, {samples})"]
    else:
        count = number(draw, 1, 3)
        text = f"bw.online.packed({found.text}, length=length, capacity={capacity}, packs={count}{extra}"
        laws = [f"packs(given, length, {capacity}, {count})"]
    numbers = sound(range(found.start, found.stop), lost)
    laws.append(f"{'once' if found.whole else 'each_at_most_once'}(given, {numbers})")
    # A source that lies in another stream counts what it skips itself.
    laws.append(f"counted(given, None, {None if 'mixed(' in found.text else len(lost)})")
    return Made(before, text, laws, found)


def packed(draw: Draw) -> Made:
    return by_length(draw, "packed")


def budgeted(draw: Draw) -> Made:
    return by_length(draw, "budgeted")


def grouping(draw: Draw, unsound: bool) -> tuple[list[Any], str]:
    """The groups of samples, and the function of them as text."""
    return table(draw, "key", st.integers(0, 3) | st.none() if unsound else st.integers(0, 3), "groups")


def target_of(draw: Draw, groups: Sequence[Any]) -> tuple[str, dict[Any, float] | None]:
    """The text of a target, and the shares if they are known from the start."""
    known = sorted({group for group in groups if group is not None})
    if draw(st.booleans()) and known:
        parts = [number(draw, 1, 5) for _ in known]
        shares = {group: part / sum(parts) for group, part in zip(known, parts, strict=True)}
        return f", target={shares}", shares
    return one(draw, "", ", target='natural'", ", target=0.5", ", target='sqrt'", ", target=bw.targets.power(0.3)"), None


def balanced(draw: Draw) -> Made:
    failing, skip = failures(draw)
    found = source(draw, failing=failing, least=4)
    groups, line = grouping(draw, bool(skip))
    before = [line]
    size = number(draw, 1, 8)
    when = one(draw, "wait", "repeat", "redistribute")
    # More places than there are groups, with room for those to come.
    buffer = max(12, 2 * size) + number(draw, 0, 60)
    target, shares = target_of(draw, groups)
    extra = f", buffer={buffer}, when_short={when!r}{target}{skip}"
    extra += named(draw, seed=SEEDS, patience=st.integers(0, 30) | st.just(inf), max_deficit=st.integers(0, 9) | st.just(inf))
    lost = set(found.fails) | {at for at in range(found.start, found.stop) if groups[at % len(groups)] is None}
    bounded = draw(st.integers(0, 4)) == 0
    if bounded:
        weights, line = table(draw, "size", st.integers(1, 9), "bytes")
        before.append(line)
        extra += f", buffer_bytes={2 * max(weights) + number(draw, 4, 60)}, size=size"
    of_units = draw(st.integers(0, 4)) == 0
    if of_units:
        before.append(table(draw, "unit", st.integers(1, 9), "units")[1])
        extra += ", unit=unit"
    samples = draw(st.integers(0, 5)) == 0
    extra += ", batches=False" if samples else ""
    text = f"bw.online.balanced({found.text}, key=key, batch_size={size}{extra}"
    numbers = sound(range(found.start, found.stop), lost)
    own = "mixed(" not in found.text
    exact = own and when != "wait" and not samples
    laws = [f"{'accounted' if exact else 'each_at_most_once'}(given, {numbers})"]
    fits = when != "wait" or shares is None  # a group that is waited for and never comes is refused
    if samples:
        if when == "repeat":  # single samples do not say which of them are repeats
            laws = []
        return Made(before, text, laws, found, samples=True, most=20, fits=fits)
    # What was remembered by all is known to every reader.
    laws += [f"counted(given, {buffer + size})", f"sizes(given, {size})", "grouped(given, key)"]
    if shares is not None and not of_units:
        # Places are divided among the groups: bytes that are too few for a group's quota, and small buffers, give slots away.
        laws.append(f"quotas(given, {shares}, {size})")
        most = "max_deficit=" in extra and extra.split("max_deficit=")[1].split(",")[0]
        laws.append(f"balances(given, {shares}, {size}, {size if most is False else most})")
    return Made(before, text, laws, found, fits=fits)


def side_by_side(draw: Draw) -> Made:
    """Shards of one group each."""
    classes = draw(st.lists(st.integers(0, 3), min_size=1, max_size=6))
    borders = [0]
    for _ in classes:
        borders.append(borders[-1] + number(draw, 1, 12))
    fails = sorted(draw(st.sets(st.integers(0, borders[-1] - 1), max_size=3))) if draw(st.booleans()) else []
    skip = ", on_error='skip'" if fails else ""
    groups = [group for group, (a, b) in zip(classes, zip(borders, borders[1:], strict=False), strict=True) for _ in range(a, b)]
    shuffle = one(draw, "", ", shuffle=True")
    shards = ", ".join(samples_text(a, b, fails) for a, b in zip(borders, borders[1:], strict=False))
    size, when = number(draw, 1, 6), one(draw, "wait", "repeat", "redistribute")
    known = sorted(set(classes))
    parts = [number(draw, 1, 5) for _ in known]
    shares = {group: part / sum(parts) for group, part in zip(known, parts, strict=True)}
    text = (
        f"bw.online.balanced(bw.online.Sharded([{shards}], same, groups={classes}{shuffle}), key=key, batch_size={size}, "
        f"target={shares}, when_short={when!r}, buffer=24{skip}{named(draw, seed=SEEDS)}"
    )
    if not fails and draw(st.booleans()):  # files of which a look finds the groups
        each = -(-borders[-1] // len(classes))
        groups = [classes[at // each] for at in range(borders[-1])]
        reader = one(draw, "jsonl", "parquet", "tar")
        shares = {group: shares[group] for group in shares if group in groups}
        shares = {group: share / sum(shares.values()) for group, share in shares.items()}
        rows = f"{reader}(0, {borders[-1]}, {len(classes)}, {tuple(classes)}{shuffle})"
        key = "lambda s: s['json']['g']" if reader == "tar" else "'g'"
        text = f"bw.online.balanced({rows}, key={key}, batch_size={size}, target={shares}, when_short={when!r}, buffer=24"
        text += named(draw, seed=SEEDS)
    numbers = sound(range(borders[-1]), set(fails))
    laws = [f"{'accounted' if when != 'wait' else 'each_at_most_once'}(given, {numbers})", f"sizes(given, {size})"]
    laws += ["counted(given, 24 + 6 * 6)", "grouped(given, key)", f"quotas(given, {shares}, {size})"]
    found = Source("", 0, borders[-1], frozenset(fails))
    return Made([f"key = lambda s: {groups}[n(s)]"], text, laws, found, shared=True)


def mixed(draw: Draw) -> Made:
    """Several sources in exact shares."""
    failing, skip = failures(draw)
    at_end = one(draw, "stop", "continue", "restart", "all_seen")
    again = at_end in ("restart", "all_seen")
    found: list[Source] = []
    kinds = SPLIT if again else (*SPLIT, *UNSPLIT, *SELF_SPLIT, "chain", "stream")
    for _ in range(number(draw, 1, 3)):
        begin = found[-1].stop if found else 0
        # A reader that has nothing of a source that is to restart refuses it.
        few = dict(least=12, most=30) if again else dict(least=0, most=25)
        found.append(source(draw, begin, kinds=kinds, failing=failing if failing == "skip" or not again else "", **few))
    before, extra = [], f", at_end={at_end!r}{skip}"
    parts = [number(draw, 1, 4), *(number(draw, 0, 4) for _ in found[1:])]
    shares = {f"s{at}": part / sum(parts) for at, part in enumerate(parts)}
    size = number(draw, 1, 8)
    extra += f", target={shares}" if draw(st.booleans()) or len(found) == 1 else ""
    if "target" not in extra:
        shares, parts = {name: 1 / len(found) for name in shares}, [1] * len(found)
    of_units = draw(st.integers(0, 3)) == 0
    values: list[int] = [1]
    if of_units:
        values, line = table(draw, "unit", st.integers(0 if skip else 1, 9), "units")
        before.append(line)
        extra += ", unit=unit"
    samples = draw(st.integers(0, 5)) == 0
    extra += "" if samples else f", batch_size={size}"
    sources = ", ".join(f"'s{at}': {one.text}" for at, one in enumerate(found))
    text = f"bw.online.mixed({{{sources}}}{extra}"
    numbers = {f"s{at}": range(one.start, one.stop) for at, one in enumerate(found)}
    lost = frozenset(number for one in found for number in one.fails)
    lost |= {at for at in range(found[-1].stop) if not values[at % len(values)]}
    # A source without a share is not read.
    unread = {at for part, one in zip(parts, found, strict=True) if not part for at in range(one.start, one.stop)}
    everything = sound(range(0, found[-1].stop), lost | unread)
    laws = []
    whole = at_end == "continue" and all(one.whole for one in found)
    if not again:
        laws.append(f"{'once' if whole else 'each_at_most_once'}(given, {everything})")
    elif at_end == "all_seen":
        laws.append(f"at_least_once(given, {everything})")
    of_each = {name: [at for at in own if at not in lost] for name, own in numbers.items()}
    texts = ", ".join(f"{name!r}: {sound(own, lost & set(own))}" for name, own in numbers.items())
    if not samples:
        laws += [f"sizes(given, {size}, last=True)", "counted(given, None)"]
        if not of_units and all(one.whole for one in found):
            until = at_end == "continue"
            laws.append(f"mixture(given, {shares}, {{{texts}}}, until_one_ends={until})")
        elif of_units and all(one.whole for one in found):
            fewest = min(map(len, of_each.values())) // 6
            laws.append(f"units(given, {shares}, unit, {max(values)}, {fewest})")
        if again:
            laws += [f"repeats_whole(given, {{{texts}}})", f"even(given, {{{texts}}})"]
    reads = Source("", 0, found[-1].stop, lost, limits(found), any(one.once for one in found))
    # A source that is to restart, of which a reader has nothing, is refused: shards may be empty, or have no sound sample.
    fits = not again or all(one.text.startswith(("S(", "bw.online.Strided")) and len(set(values)) == 1 for one in found)
    return Made(
        before, text, laws, reads, endless=at_end == "restart", samples=samples, shared=len(found) > 1, fits=fits
    )  # fmt: skip


def stepped(draw: Draw) -> Made:
    """Streams with a number of steps, which their sources have for any readers."""
    count, most = number(draw, 1, 5), number(draw, 1, 4)
    size = 3 * 3 * count * most + number(draw, 10, 40)
    found = source(draw, least=size, most=size, kinds=("list", "strided", "turning", "jsonl", "tar"))
    text = one(
        draw,
        f"bw.online.packed({found.text}, length=lambda s: 5, capacity={5 * most}, buffer={number(draw, 1, 30)}",
        f"bw.online.budgeted({found.text}, length=n, max_samples={most}, on_error='skip', buffer={number(draw, 1, 30)}",
        f"bw.online.balanced({found.text}, key=lambda s: n(s) % 2, batch_size={most}, when_short='redistribute'",
        f"bw.online.balanced({found.text}, key=lambda s: n(s) // 9 % 3, batch_size={most}, when_short='repeat'",
        f"bw.online.mixed({{'only': {found.text}}}, batch_size={most}",
        f"bw.online.mixed({{'a': {found.text}, 'b': S(900, {900 + size})}}, batch_size={most}, at_end='restart'",
    )
    laws = [f"steps(given, {count})", "counted(given, None)"]
    laws += [] if "restart" in text else [f"each_at_most_once(given, [*range({found.stop})])"]
    return Made([], f"{text}, steps={count}", laws, found, steps=count, shared=True)


def nested(draw: Draw) -> Made:
    """A stream of samples that a stream of batches reads."""
    inner = balanced(draw) if draw(st.booleans()) else mixed(draw)
    if inner.endless or not inner.samples:
        found = source(draw, least=4)
        groups, line = grouping(draw, False)
        when = one(draw, "wait", "redistribute")
        size = number(draw, 1, 5)
        text = f"bw.online.balanced({found.text}, key=key, batch_size={size}, buffer={number(draw, 24, 60)}, when_short={when!r}, batches=False"
        inner = Made([line], text, [f"each_at_most_once(given, {sound(range(found.start, found.stop), found.fails)})"], found)
    lengths, line = table(draw, "length", st.integers(1, 12), "length")
    capacity = max(lengths) + number(draw, 0, 20)
    skip = ", on_error='skip'" if "'skip'" in inner.stream else ""
    text = f"bw.online.packed({inner.stream}), length=length, capacity={capacity}, buffer={number(draw, 1, 20)}{skip}"
    laws = [law for law in inner.laws if law.startswith(("once", "each"))]
    return inner._replace(
        before=[*inner.before, line], stream=text, laws=[*laws, f"packs(given, length, {capacity}, 1)", "counted(given, None)"],
        samples=False,
    )  # fmt: skip


def endless(draw: Draw) -> Made:
    """A source without end."""
    groups, line = grouping(draw, False)
    before = [table(draw, "length", st.integers(1, 9), "length")[1], line]
    strided = draw(st.booleans())
    text = "bw.online.Strided(Endless())" if strided else "Endless()"
    found = Source(text, 0, ALL, readers="any" if strided else "one")
    laws = ["prefix(given)", "counted(given, None)"]
    if draw(st.booleans()):
        target, shares = target_of(draw, groups)
        size, most = number(draw, 1, 8), number(draw, 0, 9)
        when = one(draw, "wait", "repeat", "redistribute")
        stream = f"bw.online.balanced({text}, key=key, batch_size={size}, buffer={number(draw, 16, 60)}, when_short={when!r}"
        stream += f"{target}, max_deficit={most}"
        if shares is not None:
            laws += [f"quotas(given, {shares}, {size})", f"balances(given, {shares}, {size}, {most})"]
        return Made(before, stream, laws, found, endless=True, most=100)
    stream = one(
        draw,
        f"bw.online.packed({text}, length=length, capacity=20, buffer={number(draw, 1, 20)}",
        f"bw.online.budgeted({text}, length=length, max_tokens=20, buffer={number(draw, 1, 20)}",
        f"bw.online.mixed({{'only': {text}}}, batch_size={number(draw, 1, 5)}",
    )
    return Made(before, stream, laws, found, endless=True, most=30)


def broken_off(draw: Draw) -> Made:
    """A source that cannot go on after a failure."""
    stop = number(draw, 1, 20)
    at = number(draw, 0, stop - 1)
    skips = draw(st.booleans())
    gone = f"BreakingOff(S(0, {stop}), {at})"
    failing = f"S(0, {stop}, [{at}])"
    text = one(draw, gone, f"bw.online.Strided({gone})", f"bw.online.Chain([S({stop}, 30), {gone}, S(30, 40)])")
    if not skips and draw(st.booleans()):
        text = one(draw, failing, f"bw.online.Strided(Plain({failing}))", f"bw.online.Sharded([{failing}], iter)")
    skip = ", on_error='skip'" if skips else ""
    stream = one(
        draw,
        f"bw.online.packed({text}, length=length, capacity=9, buffer=4{skip}",
        f"bw.online.balanced({text}, key=length, batch_size=2, buffer=30, when_short='redistribute'{skip}",
        f"bw.online.mixed({{'only': {text}}}, batch_size=3, at_end='continue'{skip}",
    )
    laws = ["failed(given)", "each_at_most_once(given, range(40))"]
    return Made(["length = lambda s: 1 + n(s) % 3"], stream, laws, Source(text, 0, 40, readers="one", once=True))


MAKERS: dict[str, Callable[[Draw], Made]] = {
    maker.__name__: maker
    for maker in (packed, budgeted, balanced, side_by_side, mixed, nested, stepped, endless, broken_off)
}


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


@st.composite
def programs(draw: Draw, kind: str, workers: Sequence[int] = (0,)) -> str:
    """The text of a program: it makes a stream of this kind, goes through a story, and asserts what must hold."""
    made = MAKERS[kind](draw)
    lines = [*made.before, f"make = lambda rank, world: {made.stream}, rank=rank, world_size=world)"]
    legs = story(draw, made, workers)
    fits = made.fits and not any(workers for _, workers, *_ in legs)  # of many workers some may have nothing
    lines += [f"given = {'fitting' if fits else 'streamed'}(make, {legs})", *made.laws]
    return "\n".join(lines)
