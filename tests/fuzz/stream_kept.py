"""Programs of `test_stream_fuzz.py` that once failed, by what was wrong."""

KEPT: dict[str, str] = {
    "ranks that had no batch since they went on saved the states of all, which no other ranks could load": """
make = lambda rank, world: bw.online.packed(
    S(0, 12),
    length=lambda s: 1, capacity=2, buffer=4,
    rank=rank, world_size=world
)
given = fitting(make, [(3, 0, [[1, 1, 1]], ''), (2, 0, [[0, 0]], ''), (3, 0, [[1, 0, 0]], 'stream'),
(1, 0, [[999]], '')])
once(given, [*range(0, 12)])
""",
    "the states of a rank that had a batch and of one that had none were refused as of epochs 0, 0": """
make = lambda rank, world: bw.online.packed(
    S(0, 12),
    length=lambda s: 1, capacity=2, buffer=4,
    rank=rank, world_size=world
)
given = fitting(make, [(2, 0, [[1, 0]], ''), (1, 0, [[999]], '')])
once(given, [*range(0, 12)])
""",
    "a dataset that had given no sample since its state was loaded gave the state of its start": """
make = lambda rank, world: bw.online.mixed(
    {'a': hugging_face(0, 2, 2), 'b': S(10, 13, once=[10]), 'c': S(24, 26, once=[24])},
    at_end='continue', batch_size=1,
    rank=rank, world_size=world
)
given = fitting(make, [(1, 0, [[999]], ''), (1, 0, [[999]], ''), (1, 0, [[999]], '')])
once(given, [0, 1, 10, 11, 12, 24, 25])
""",
    "a reader without a sample of a group that was to repeat ended its pass, and left the other groups unread": """
make = lambda rank, world: bw.online.balanced(
    bw.online.Sharded([S(0, 1), S(1, 9)], same, groups=[0, 1]),
    key=lambda s: min(n(s), 1), batch_size=2, target={0: 0.5, 1: 0.5}, when_short='repeat',
    rank=rank, world_size=world
)
given = fitting(make, [(2, 0, [[999, 999]], '')])
accounted(given, [*range(0, 9)])
counted(given, None)
""",
    "what shards of one group gave again counted as read of the group": """
make = lambda rank, world: bw.online.balanced(
    bw.online.Sharded([S(0, 1), S(1, 9)], same, groups=[0, 1]),
    key=lambda s: min(n(s), 1), batch_size=2, target={0: 0.5, 1: 0.5}, when_short='repeat',
    rank=rank, world_size=world
)
given = fitting(make, [(1, 0, [[999]], '')])
counted(given, None)
""",
    "slots that were given away in a batch that was not full stayed deficits": """
key = lambda s: [3, 2, 2, 1, 1, 2, 2][n(s) % 7]
make = lambda rank, world: bw.online.balanced(
    S(0, 14),
    key=key, batch_size=5, buffer=60, when_short='redistribute', target={1: 0.25, 2: 0.25, 3: 0.5}, max_deficit=3,
    rank=rank, world_size=world
)
given = fitting(make, [(1, 0, [[999]], '')])
balances(given, {1: 0.25, 2: 0.25, 3: 0.5}, 5, 3)
""",
    "samples of a batch that was not full counted twice as seen after a change of readers": """
make = lambda rank, world: bw.online.balanced(
    bw.online.Sharded([S(0, 6), S(6, 43)], same),
    key=lambda s: 0, batch_size=4, buffer=73, when_short='redistribute',
    rank=rank, world_size=world
)
given = fitting(make, [(2, 0, [[999, 1]], 'stream'), (1, 0, [[999]], '')])
counted(given, 77)
""",
    "a stream in a chain that had ended was read again by other readers": """
make = lambda rank, world: bw.online.packed(
    bw.online.Chain([bw.online.mixed({'only': S(0, 5)}), S(5, 30)]),
    length=lambda s: 1, capacity=2, buffer=2,
    rank=rank, world_size=world
)
given = fitting(make, [(1, 0, [[6]], ''), (2, 0, [[1, 1]], ''), (1, 0, [[999]], '')])
once(given, [*range(0, 30)])
""",
    "a stream in a stream that had ended was read again where readers changed twice before a batch": """
make = lambda rank, world: bw.online.packed(
    bw.online.mixed({'only': S(0, 9)}),
    length=lambda s: 1, capacity=2, buffer=12,
    rank=rank, world_size=world
)
given = fitting(make, [(1, 0, [[2]], ''), (2, 0, [[0, 0]], ''), (1, 0, [[999]], '')])
once(given, [*range(0, 9)])
""",
}
