"""Short programs, made up by hypothesis: a stream over any source, a story of runs and kills, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf
from typing import Any

from hypothesis import strategies as st

from .programs import Draw, named, number, one
from .stream_stories import ALL
from .stream_texts import SELF_SPLIT, SPLIT, UNSPLIT, Made, Source, limits, samples_text, source, story

SEEDS = st.integers(0, 3) | st.integers(0, 2**64 - 1)


def table(draw: Draw, name: str, values: st.SearchStrategy[Any], of: str) -> tuple[list[Any], str]:
    """A function of a sample, as a table that goes on from its start; and its text."""
    found = draw(st.lists(values, min_size=1, max_size=7))
    return found, f"{name} = lambda s: {found}[n(s) % {len(found)}]"


def sound(numbers: range, lost: set[int] | frozenset[int]) -> str:
    return f"sorted({{*{numbers}}} - {set(lost)})" if lost else f"[*{numbers}]"


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
    return one(
        draw, "", ", target='natural'", ", target=0.5", ", target='sqrt'", ", target=bw.targets.power(0.3)"
    ), None


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
    extra += named(
        draw, seed=SEEDS, patience=st.integers(0, 30) | st.just(inf), max_deficit=st.integers(0, 9) | st.just(inf)
    )
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
    groups = [group for group, (a, b) in zip(classes, pairwise(borders), strict=True) for _ in range(a, b)]
    shuffle = one(draw, "", ", shuffle=True")
    shards = ", ".join(samples_text(a, b, fails) for a, b in pairwise(borders))
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
        text = (
            f"bw.online.balanced({rows}, key={key}, batch_size={size}, target={shares}, when_short={when!r}, buffer=24"
        )
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
        least, most = (12, 30) if again else (0, 25)
        fails = failing if failing == "skip" or not again else ""
        found.append(source(draw, begin, least=least, most=most, kinds=kinds, failing=fails))
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
    everything = sound(range(found[-1].stop), lost | unread)
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
    sized = len(set(values)) == 1 and values[0] > 0
    fits = not again or all(one.text.startswith(("S(", "bw.online.Strided")) and sized for one in found)
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
        size, when = number(draw, 1, 5), one(draw, "wait", "redistribute")
        text = f"bw.online.balanced({found.text}, key=key, batch_size={size}, buffer={number(draw, 24, 60)}, "
        law = f"each_at_most_once(given, {sound(range(found.start, found.stop), found.fails)})"
        inner = Made([grouping(draw, False)[1]], f"{text}when_short={when!r}, batches=False", [law], found)
    lengths, line = table(draw, "length", st.integers(1, 12), "length")
    capacity = max(lengths) + number(draw, 0, 20)
    skip = ", on_error='skip'" if "'skip'" in inner.stream else ""
    text = f"bw.online.packed({inner.stream}), length=length, capacity={capacity}, buffer={number(draw, 1, 20)}{skip}"
    laws = [law for law in inner.laws if law.startswith(("once", "each"))]
    laws += [f"packs(given, length, {capacity}, 1)", "counted(given, None)"]
    return inner._replace(before=[*inner.before, line], stream=text, laws=laws, samples=False)


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
        stream = (
            f"bw.online.balanced({text}, key=key, batch_size={size}, buffer={number(draw, 16, 60)}, when_short={when!r}"
        )
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


@st.composite
def programs(draw: Draw, kind: str, workers: Sequence[int] = (0,)) -> str:
    """The text of a program: it makes a stream of this kind, goes through a story, and asserts what must hold."""
    made = MAKERS[kind](draw)
    lines = [*made.before, f"make = lambda rank, world: {made.stream}, rank=rank, world_size=world)"]
    legs = story(draw, made, workers)
    fits = made.fits and not any(workers for _, workers, *_ in legs)  # of many workers some may have nothing
    lines += [f"given = {'fitting' if fits else 'streamed'}(make, {legs})", *made.laws]
    return "\n".join(lines)
