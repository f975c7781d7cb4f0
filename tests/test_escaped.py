"""Names of groups with control characters: no table of text, and no command, gives them to a terminal."""

from __future__ import annotations

import pytest

import batchwright as bw
from batchwright.aligned import aligned
from batchwright.cli import main

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")

NAMES = ["\x1b[31mred", "x\ny", "tab\t", "\x9b1m", "\u202eback", "[bold]b"]
ESCAPED = [r"\x1b[31mred", r"x\ny", r"tab\t", r"\x9b1m", r"\u202eback", "[bold]b"]
LABELS = NAMES * 20
PLAN = bw.balanced(LABELS, 12)


def lines(text):
    """The lines of a text, of which each could be printed."""
    found = str(text).splitlines()
    assert all(map(str.isprintable, found)), found
    return found


def test_a_row_stays_a_line():
    rows = [["name", "count"], *([name, 1.5] for name in NAMES)]
    assert [line.split("  ")[0] for line in lines("\n".join(aligned(rows)))] == ["name", *ESCAPED]


@pytest.mark.parametrize(
    "text",
    [
        lambda: PLAN.summary(),
        lambda: bw.balanced(LABELS, 12, target=dict.fromkeys(NAMES, 1 / 6)).summary(),
        lambda: PLAN.at(3),
        lambda: PLAN.report().tables["shares"],
        lambda: bw.mixed(dict.fromkeys(NAMES, 40), 12).summary(),
        lambda: bw.alternating({name: bw.shuffled(40, 4) for name in NAMES}).summary(),
        lambda: bw.raked({"k": LABELS}, {"k": "uniform"}, 12).summary(),
        lambda: bw.multilabel([[name] for name in LABELS], 12).summary(),
        lambda: bw.rotating(LABELS, 3, per_class=1).summary(),
        lambda: bw.budgeted(range(1, 121), 400, order=PLAN).summary(),
    ],
)
def test_tables_of_a_plan_have_one_line_for_every_group(text):
    found = "\n".join(lines(text()))
    assert all(name in found for name in ESCAPED)


def test_audits_and_plans_are_printed_so():
    for text in (PLAN, repr(PLAN), PLAN.audit(), repr(PLAN.groups), bw.mixed(dict.fromkeys(NAMES, 40), 12)):
        lines(text)


def test_a_column_that_is_not_there_is_told_in_one_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\x1b[31mred,b\n1,2\n")
    with pytest.raises(bw.Infeasible) as refusal:
        len(bw.Column(path, "kind"))
    assert r"\x1b[31mred" in "".join(lines(refusal.value))


@pytest.mark.parametrize(
    "command", [["inspect", "--label", "kind\x1b"], ["plan", "--label", "kind\x1b", "--batch-size", "12"]]
)
def test_commands_print_them_so(tmp_path, monkeypatch, capsys, command):
    path = tmp_path / "a.csv"
    rows = "".join(f'"{name}",1\n' for name in LABELS)
    path.write_text(f"kind\x1b,[n]\n{rows}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.argv", ["batchwright", command[0], str(path), *command[1:]])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    found = "\n".join(lines(capsys.readouterr().out))
    assert all(name in found for name in ESCAPED)
