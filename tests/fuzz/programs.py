"""Short programs, made up by hypothesis: a plan of any kind and settings, a story of runs and kills, and what must hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import strategies as st

Draw = Callable[[Any], Any]
ORDERS = (
    "balanced",
    "shuffled",
    "weighted",
    "sequential",
    "ordered",
    "mixed",
    "hierarchical",
    "rotating",
    "raked",
    "multilabel",
)
CUTS = ("budgeted", "packed", "grouped", "bucketed")
OTHERS = ("evaluation", "alternating", "hybrid")
SEEDS = st.integers(0, 3) | st.integers(0, 2**64 - 1)
COUNTS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


class Made(NamedTuple):
    """A plan in the text of a program.

    Attributes:
        before: lines that the plan needs.
        plan: the expression of the plan.
        laws: what is asserted of the micro-batches, a line each.
        samples: how many there are.
        fixed: whether every micro-batch has one size, so that several can be fetched at once.
        shares: the number of groups whose shares may be set; 0 if none may.
    """

    before: list[str]
    plan: str
    laws: list[str]
    samples: int
    fixed: bool = True
    shares: int = 0


def number(draw: Draw, least: int, most: int) -> int:
    return draw(st.integers(least, most))


def one(draw: Draw, *values: Any) -> Any:
    return draw(st.sampled_from(values))


def named(draw: Draw, /, **values: st.SearchStrategy[Any]) -> str:
    """Arguments by name; each is left out in half of the programs."""
    return "".join(f", {name}={draw(value)!r}" for name, value in values.items() if draw(st.booleans()))


def fixed_arguments(draw: Draw) -> str:
    return named(draw, epoch=st.sampled_from(["natural", "largest", "smallest", 1, 3, 7]), seed=SEEDS)


def target(draw: Draw, counts: list[int], moving: bool = True) -> tuple[str, str | None]:
    """The text of a target, and of what it is by definition: None if that is not told here, or if it moves."""
    kind = number(draw, 0, 11 if moving else 7)
    if kind < 3:
        name = ("uniform", "natural", "sqrt")[kind]
        return repr(name), repr(name)
    if kind == 3:
        share = number(draw, 0, 8) / 8
        return repr(share), repr(share)
    if kind == 4:
        parts = [number(draw, 1, 6) for _ in counts]
        shares = {group: part / sum(parts) for group, part in enumerate(parts)}
        return repr(shares), repr(shares)
    if kind == 5:
        q = number(draw, 0, 4) / 4
        return f"bw.targets.power({q})", f"('power', {q})"
    if kind == 6:
        return f"bw.targets.capped({number(draw, 1, 6)})", None
    if kind == 7:
        return one(
            draw, "bw.targets.repeat_factor(0.2)", "bw.targets.effective_number(0.9)", "bw.targets.temperature(2)"
        ), None
    if kind == 8:
        return f"bw.targets.schedule('natural', 'uniform', epochs={number(draw, 1, 3)})", None
    if kind == 9:
        return (
            "lambda counts, epoch: (np.array(counts) + epoch % 2 * 5) / (np.array(counts) + epoch % 2 * 5).sum()",
            None,
        )
    if kind == 10:
        return f"bw.targets.in_units('uniform', 1 + np.arange({sum(counts)}) % 5)", None
    return f"bw.targets.moving({one(draw, 'uniform', 'natural')!r})", None


def shards(draw: Draw, count: int, size: int = 1, *, ranks: bool = True) -> tuple[str, str]:
    """The text of shards of `count` samples, and of their sizes and how many may be open; empty in two of three programs."""
    if number(draw, 0, 2) or count < 6 * size:  # too few samples for the micro-batches of two ranks are refused
        return "", ""
    each = min(count, number(draw, 2 * size, 3 * size + count // 3))  # too many of few samples are refused, too
    sizes, rest = [each] * (count // each), count % each
    if draw(st.booleans()):
        sizes.insert(number(draw, 0, len(sizes)), rest)
    else:
        sizes[-1] += rest
    at_once, parts = number(draw, 6, 9), one(draw, 1, 1, 2) if ranks else 1
    return f"bw.Shards({sizes}, open={at_once}, ranks={parts})", f"{sizes}, {at_once}"


def labels(draw: Draw) -> tuple[list[int], str]:
    counts = draw(COUNTS)
    return counts, f"labels = np.repeat(np.arange({len(counts)}), {counts}).tolist()"


def balanced(draw: Draw, moving: bool = True) -> Made:
    counts, line = labels(draw)
    per = one(draw, 1, 1, 1, 2, 3)
    size = per * number(draw, 1, 24)
    text, known = target(draw, counts, moving)
    random = draw(st.booleans()) and draw(st.booleans())
    extra = fixed_arguments(draw) + (f", per_class={per}" if per > 1 else "") + (", draw='random'" if random else "")
    laws = [f"sizes(given, {size})"]
    if not random:
        laws.append("coverage(given, labels)")
        if known is not None:
            laws.append(f"quotas(given, labels, shares_of({known}, {counts}), {size}, {per})")
    constant = not random and not any(word in text for word in ("moving", "schedule", "lambda"))
    local, told = shards(draw, sum(counts), size) if constant else ("", "")
    if local:
        extra, laws = f"{extra}, local={local}", [f"sizes(given, {size})", f"few_shards(given, {told})"]
    settable = len(counts) if "moving" in text and not random else 0
    return Made([line], f"bw.balanced(labels, {size}, target={text}{extra})", laws, sum(counts), shares=settable)


def shuffled(draw: Draw) -> Made:
    count, size = number(draw, 1, 90), number(draw, 1, 12)
    local, told = shards(draw, count, size)
    extra = named(draw, epoch=st.sampled_from([1, 4, "natural"]), seed=SEEDS) + (f", local={local}" if local else "")
    laws = [f"sizes(given, {size})"] + ([f"few_shards(given, {told})"] if local else [])
    laws += [] if "ranks=2" in local else [f"coverage(given, [0] * {count})"]
    return Made([], f"bw.shuffled({count}, {size}{extra})", laws, count)


def weighted(draw: Draw) -> Made:
    weights = draw(st.lists(st.integers(0, 9), min_size=1, max_size=40).filter(any))
    size = number(draw, 1, 12)
    plan = f"bw.weighted({weights}, {size}{named(draw, draw=st.just('random'), epoch=st.integers(1, 5), seed=SEEDS)})"
    never = [sample for sample, weight in enumerate(weights) if not weight]
    laws = [f"sizes(given, {size})", f"assert not set(sum(given, [])) & set({never})"]
    local, told = ("", "") if "random" in plan else shards(draw, len(weights), size)
    if local:
        plan, laws = f"{plan[:-1]}, local={local})", [*laws, f"few_shards(given, {told})"]
    return Made([], plan, laws, len(weights))


def sequential(draw: Draw) -> Made:
    count, size = number(draw, 1, 60), number(draw, 1, 12)
    plan = f"bw.sequential({count}, {size}{named(draw, epoch=st.integers(1, 6))})"
    return Made([], plan, [f"sizes(given, {size})", f"sequence(given, range({count}))"], count)


def ordered(draw: Draw) -> Made:
    indices = draw(st.lists(st.integers(0, 20), min_size=1, max_size=30))
    size = number(draw, 1, 12)
    plan = f"bw.ordered({indices}, {size}, samples=21{named(draw, epoch=st.integers(1, 6))})"
    return Made([], plan, [f"sizes(given, {size})", f"sequence(given, {indices})"], 21)


def mixed(draw: Draw, within: str = "") -> Made:
    """Sources that are numbers, plans, or mixtures again; `within` names the source that the mixture is."""
    before: list[str] = []
    sources: list[str] = []
    counts: list[int] = []
    local_of: list[str] = []
    laws: list[str] = []
    source_count, per = number(draw, 1, 4), one(draw, 1, 1, 2)
    size = per * number(draw, 1, 20 if per == 1 else source_count)
    for source in range(source_count):
        if draw(st.booleans()):
            counts.append(number(draw, 1, 40) if draw(st.booleans()) else 6 * size + number(draw, 0, 60))
            sources.append(f"'s{source}': {counts[-1]}")
            local, told = shards(draw, counts[-1], size)
            if local:
                local_of.append(f"'s{source}': {local}")
                laws.append(f"few_shards(given, {told}, {sum(counts[:-1])})")
            continue
        name = f"labels{within}_{source}"
        nested = not within and draw(st.booleans())
        inner = mixed(draw, f"{within}_{source}") if nested else MAKERS[one(draw, *ORDERS[:3])](draw)
        before += [line.replace("labels =", f"{name} =", 1) for line in inner.before]
        sources.append(f"'s{source}': {inner.plan.replace('(labels,', f'({name},')}")
        counts.append(inner.samples)
    text, known = target(draw, counts, moving=False)
    if text.startswith("{"):
        for group in range(len(counts)):
            text = text.replace(f"{group}: ", f"'s{group}': ", 1) if group else text.replace("{0: ", "{'s0': ", 1)
    extra = fixed_arguments(draw) + (f", per_source={per}" if per > 1 else "")
    groups = f"np.repeat(np.arange({len(counts)}), {counts}).tolist()"
    extra += f", local={{{', '.join(local_of)}}}" if local_of else ""
    laws.append(f"sizes(given, {size})")
    if known is not None:
        laws.append(f"quotas(given, {groups}, shares_of({known}, {counts}), {size}, {per})")
    return Made(before, f"bw.mixed({{{', '.join(sources)}}}, {size}, target={text}{extra})", laws, sum(counts))


def hierarchical(draw: Draw) -> Made:
    outer, inner, each = number(draw, 1, 4), number(draw, 1, 4), number(draw, 1, 6)
    per = [number(draw, 1, outer), number(draw, 1, inner), number(draw, 1, 3)]
    count = outer * inner * each
    before = [f"outer, inner = np.divmod(np.arange({count}) // {each}, {inner})", f"inner = inner + outer * {inner}"]
    plan = f"bw.hierarchical([outer, inner], {per}{fixed_arguments(draw)})"
    return Made(before, plan, [f"nested(given, [outer.tolist(), inner.tolist()], {per})"], count)


def rotating(draw: Draw) -> Made:
    counts, line = labels(draw)
    per = number(draw, 1, 3)
    names = draw(st.permutations(range(len(counts))))
    width = number(draw, 1, len(counts))
    cohorts = [list(names[at : at + width]) for at in range(0, len(names), width)]
    plan = f"bw.rotating(labels, {cohorts}, per_class={per}{named(draw, epoch=st.integers(1, 6), seed=SEEDS)})"
    return Made([line], plan, [f"cohort(given, labels, {cohorts}, {per})"], sum(counts), fixed=False)


def raked(draw: Draw) -> Made:
    counts, line = labels(draw)
    size = number(draw, 1, 20)
    plan = (
        f"bw.raked({{'a': labels, 'b': [i % 2 for i in range({sum(counts)})]}}, {{'a': {one(draw, 'uniform', 'natural')!r}, "
        f"'b': 'uniform'}}, {size}{fixed_arguments(draw)}{named(draw, closest=st.just(True))})"
    )
    return Made([line], plan, [f"sizes(given, {size})"], sum(counts))


def multilabel(draw: Draw) -> Made:
    rows = draw(st.lists(st.lists(st.integers(2, 5), max_size=3, unique=True), min_size=2, max_size=30).filter(any))
    size = number(draw, 1, 12)
    extra = named(draw, epoch=st.integers(1, 5), seed=SEEDS)
    plan = f"bw.multilabel({rows}, {size}, target={one(draw, 'uniform', 'natural', 0.5)!r}{extra})"
    return Made([], plan, [f"sizes(given, {size})"], len(rows))


def lengths(draw: Draw, least: int = 1, fewest: int = 1) -> tuple[list[int], str]:
    found = draw(st.lists(st.integers(least, 30), min_size=fewest, max_size=60))
    return found, f"lengths = {found}"


def source_order(draw: Draw, count: int) -> tuple[str, bool]:
    """The `order` of a cut, and whether every sample comes once an epoch."""
    if draw(st.booleans()):
        local, _ = shards(draw, count, 5, ranks=False)
        return (f", local={local}", False) if local else ("", True)
    return one(
        draw,
        (f", order=bw.balanced([i % 3 for i in range({count})], 4)", False),
        (f", order=bw.shuffled({count}, 3, seed=5)", False),
        (f", order=bw.weighted([1 + i % 3 for i in range({count})], 4)", False),
        (f", order=bw.mixed({{'a': {max(1, count // 2)}, 'b': {count - max(1, count // 2)}}}, 5)", False),
    )


def budgeted(draw: Draw) -> Made:
    found, line = lengths(draw)
    padded = draw(st.booleans())
    limit = max(found) + number(draw, 0, 90)
    samples = one(draw, None, None, 1, 4)
    order, once_an_epoch = source_order(draw, len(found))
    extra = named(draw, seed=SEEDS, window=st.sampled_from([1, 2, 5, "epoch"]), round_count=st.just(2))
    extra += "" if padded else ", padded=False"
    extra += "" if samples is None else f", max_samples={samples}"
    laws = [f"within(given, lengths, {limit}, padded={padded}, samples={samples})"]
    laws += [f"once(given, range({len(found)}))"] if once_an_epoch else []
    return Made([line], f"bw.budgeted(lengths, {limit}{order}{extra})", laws, len(found), fixed=False)


def packed(draw: Draw) -> Made:
    found, line = lengths(draw)
    capacity = max(found) + number(draw, 0, 60)
    count, each = number(draw, 1, 3), one(draw, None, None, 2, 5)
    order, once_an_epoch = source_order(draw, len(found))
    extra = named(draw, seed=SEEDS, window=st.sampled_from([1, 2, 6, "epoch"]))
    extra += ("" if each is None else f", max_per_pack={each}") + (f", packs={count}" if count > 1 else "")
    laws = [f"packs(plan, given, lengths, {capacity}, {count}, {each})"]
    laws += [f"once(given, range({len(found)}))"] if once_an_epoch else []
    return Made([line], f"bw.packed(lengths, {capacity}{order}{extra})", laws, len(found), fixed=False)


def grouped(draw: Draw) -> Made:
    found, line = lengths(draw)
    size = number(draw, 1, 9)
    order, once_an_epoch = source_order(draw, len(found))
    extra = named(draw, seed=SEEDS, window=st.sampled_from([1, 3, "epoch"]), level=st.just(True))
    laws = [] if "level" in extra else [f"assert max(map(len, given)) <= {size}"]
    laws += [f"once(given, range({len(found)}))"] if once_an_epoch else []
    return Made([line], f"bw.grouped(lengths, {size}{order}{extra})", laws, len(found), fixed=False)


def bucketed(draw: Draw) -> Made:
    found, line = lengths(draw, fewest=30)  # fewer do not fill the steps of most worlds
    size = number(draw, 1, 9)
    order, once_an_epoch = source_order(draw, len(found))
    extra = named(draw, seed=SEEDS, window=st.sampled_from([2, 5, "epoch"]), buckets=st.integers(1, 5))
    laws = [f"assert max(map(len, given)) <= {size}"]
    laws += [f"once(given, range({len(found)}))"] if once_an_epoch else []
    plan = f"bw.bucketed([(length, 3) for length in lengths], {size}{order}{extra})"
    return Made([line], plan, laws, len(found), fixed=False)


def evaluation(draw: Draw) -> Made:
    found, line = lengths(draw)
    kind = number(draw, 0, 2)
    size = (f"{number(draw, 1, 9)}", f"max_tokens={max(found) + number(draw, 0, 60)}", f"capacity={max(found) + 9}")[
        kind
    ]
    order = one(draw, "file", "shuffled", "length")
    laws = [f"once(given, range({len(found)}))"]
    laws += [f"sequence(given, range({len(found)}))"] if order == "file" else []
    plan = f"bw.evaluation(lengths, {size}, order={order!r}{named(draw, seed=SEEDS)})"
    return Made([line], plan, laws, len(found), fixed=False)


def alternating(draw: Draw) -> Made:
    before, tasks, starts, total = [], [], [], 0
    for task in range(number(draw, 1, 3)):
        inner = MAKERS[one(draw, "shuffled", "balanced", "budgeted", "grouped")](draw)
        before += [line.replace("labels =", f"l{task} =").replace("lengths =", f"l{task} =") for line in inner.before]
        tasks.append(f"'t{task}': {inner.plan.replace('(labels,', f'(l{task},').replace('(lengths,', f'(l{task},')}")
        starts.append(total)
        total += inner.samples
    before.append(f"tasks = {{{', '.join(tasks)}}}")
    plan = f"bw.alternating(tasks, target={one(draw, 'natural', 'uniform')!r}{named(draw, epoch=st.integers(1, 9))})"
    return Made(before, plan, [f"turns(given, tasks, {starts})"], total, fixed=False)


def hybrid(draw: Draw) -> Made:
    found, line = lengths(draw, 2)
    ranks = number(draw, 1, 4)
    tokens = max(-(-max(found) // ranks) + 2, number(draw, 4, 60))
    plan = (
        f"bw.hybrid(lengths, ranks={ranks}, tokens_per_rank={tokens}{named(draw, seed=SEEDS, widen=st.integers(1, 3))})"
    )
    laws = [f"parts(plan, lengths, {tokens})"]
    return Made([line], plan, laws, -1, fixed=False)


MAKERS: dict[str, Callable[[Draw], Made]] = {name: globals()[name] for name in (*ORDERS, *CUTS, *OTHERS)}


@st.composite
def programs(draw: Draw, kind: str) -> str:
    """The text of a program: it builds a plan of this kind, goes through a story, and asserts what must hold."""
    made = MAKERS[kind](draw)
    lines = [*made.before, f"plan = {made.plan}"]
    if made.samples < 0:  # the ranks are the plan's
        return "\n".join([*lines, *made.laws])
    story = []
    for _ in range(number(draw, 1, 4)):
        fetch = one(draw, "micro", "micro", "step", 2) if made.fixed else "micro"
        shares = None
        if made.shares and draw(st.booleans()):
            parts = [number(draw, 1, 5) for _ in range(made.shares)]
            shares = [part / sum(parts) for part in parts]
        story.append((number(draw, 1, 4), number(draw, 1, 3), fetch, number(draw, 1, 25), shares))
    lines += [f"given = delivered(plan, {story})", f"samples_of(given, {made.samples})", *made.laws]
    return "\n".join(lines)
