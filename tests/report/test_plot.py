"""Plots show the numbers of the report."""

from __future__ import annotations

import sys

import matplotlib
import numpy as np
import pytest

import batchwright as bw

from . import small

matplotlib.use("agg")
PICTURES = "shares", "composition", "presence", "passes", "repeats", "drift", "lengths", "padding", "cost"


@pytest.fixture
def axes():
    from matplotlib import pyplot

    figure, ax = pyplot.subplots()
    yield ax
    figure.canvas.draw()
    pyplot.close("all")


@pytest.mark.parametrize("plan", [small.corpus, small.many_groups], ids=lambda make: make.__name__)
def test_every_picture_is_drawn_into_axes_or_into_its_own(plan):
    from matplotlib import pyplot

    report = plan().report(world_size=2, **({} if plan is small.corpus else {"lengths": np.arange(60_000) % 700 + 1}))
    figure, places = pyplot.subplots(len(PICTURES))
    for picture, ax in zip(PICTURES, places, strict=True):
        assert getattr(report.plot, picture)(ax) is ax
        own = getattr(report.plot, picture)()
        assert own.figure is not figure
        assert own.get_title(loc="left")
        pyplot.close(own.figure)
    figure.canvas.draw()
    pyplot.close(figure)


def test_the_numbers_drawn_are_those_of_the_report(axes):
    plan = small.animals()
    plan.plot.drift(axes)
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    report = plan.report()
    assert lines["farthest group"].tolist() == report.drift.worst.tolist()
    assert set(lines["limit"]) == {report.audit["G3 drift"].bound}
    axes.clear()
    plan.plot.composition(axes, shuffle=True)
    apart = report.composition.shuffled - report.composition.shuffled_quotas
    assert axes.images[0].get_array().tolist() == apart.tolist()


def test_a_plan_is_measured_once_for_all_of_its_plots():
    plan = small.animals()
    assert plan.plot.report is plan.plot.report


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    plot = small.animals().plot
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        bw.Infeasible, match=r"matplotlib, which is not installed; run pip install 'batchwright\[plot\]'"
    ):
        plot.drift()


def test_a_picture_without_numbers_is_refused_with_those_that_there_are():
    plan = small.animals()
    with pytest.raises(bw.Infeasible, match=r"no numbers of 'padding'; draw one of shares, .*; lengths and costs"):
        plan.plot.padding()
    plan.report(lengths=np.ones(5000)).plot.padding()
