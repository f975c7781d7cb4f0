"""The page of a report, in a real browser: what it shows, how fast, by mouse and by keyboard, on any screen."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image

import batchwright as bw

from ..report import small

WIDTHS, SCHEMES = (390, 820, 1440), ("light", "dark")


@pytest.fixture(scope="module")
def reports():
    return {
        "animals": small.animals().report(world_size=4, title="Animals"),
        "corpus": small.corpus().report(world_size=8, title="Corpus"),
        "many groups": small.many_groups().report(world_size=8, lengths=np.arange(60_000) % 700 + 1),
        "one sample": bw.balanced([0], 1).report(),
        "a million micro-batches": bw.balanced(np.arange(1000) % 3, 4, epoch=10**6).report(),
    }


@pytest.fixture(scope="module")
def files(reports, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, report in reports.items():
        report.save(folder / f"{name}.html")
    return {name: (folder / f"{name}.html").as_uri() for name in reports}


@pytest.fixture
def opened(browser, files):
    """Opens a page, which must ask for nothing else and complain of nothing."""
    contexts, complaints, asked = [], [], []

    def go(name, width=1440, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(files[name])
        page.wait_for_selector("html[data-ready]")
        return page

    yield go
    for context in contexts:
        context.close()
    assert complaints == []
    assert set(asked) <= set(files.values())


# charts draw in the frame after the one in which they are asked to
SHOWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"


def drawn(page, height=None):
    """A screenshot of the page with all of its pictures: of all of it, or of its top."""
    page.evaluate("report.drawAll()")
    page.evaluate(SHOWN)
    clip = None if height is None else {"x": 0, "y": 0, "width": page.viewport_size["width"], "height": height}
    return page.screenshot(full_page=True, clip=clip)


@pytest.mark.parametrize("name", ["animals", "corpus", "many groups", "one sample", "a million micro-batches"])
def test_every_page_draws_every_picture_without_a_complaint(opened, reports, name):
    page = opened(name)
    drawn(page)
    blank = page.evaluate("""[...document.querySelectorAll(".picture")].filter((one) => {
        const canvas = one.querySelector("canvas");
        const dots = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return !dots.some((dot) => dot);
    }).length""")
    assert blank == 0
    shown = page.locator("[data-picture]").evaluate_all("all => all.map((one) => one.dataset.picture)")
    assert shown == [name for name in reports[name].tables if name != "repeats"]


def test_a_page_draws_only_what_is_about_to_be_seen_when_it_opens(opened):
    """So a page with many pictures opens in a fraction of a second."""
    page = opened("many groups")
    page.evaluate(SHOWN)
    reached, below = (
        page.evaluate("""[false, true].map((below) => [...document.querySelectorAll(".picture")].filter((one) =>
        below == one.getBoundingClientRect().top > innerHeight + 400).map((one) => one.childElementCount > 0))""")
    )
    assert all(reached)
    assert len(below) > 2
    assert not any(below)


def test_the_numbers_in_the_page_are_those_of_the_report_and_of_the_audit(opened, reports):
    page, report = opened("corpus"), reports["corpus"]
    assert page.evaluate("JSON.parse(document.getElementById('numbers').textContent)") == report.to_dict()
    rows = page.locator("#guarantees tbody tr").evaluate_all(
        "all => all.map((one) => [...one.children].map((cell) => cell.textContent))"
    )
    assert [row[0] for row in rows] == [finding.guarantee for finding in report.audit.findings]
    assert [float(row[2]) for row in rows] == pytest.approx(
        [finding.worst for finding in report.audit.findings], rel=1e-3
    )
    series = page.evaluate("""(report.drawAll(), echarts.getInstanceByDom(document.querySelector("#picture-cost-0"))
        .getOption().series.at(-1).data)""")
    assert [value for _, value in series] == report.cost.most.tolist()


@pytest.mark.parametrize(("width", "scheme"), [*itertools.product(WIDTHS, SCHEMES)])
def test_nothing_is_wider_than_the_screen_and_both_schemes_have_their_colours(opened, width, scheme):
    page = opened("corpus", width, scheme)
    picture = Image.open(io.BytesIO(drawn(page))).convert("L")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    light = np.asarray(picture).mean() / 255
    assert light > 0.8 if scheme == "light" else light < 0.25


def test_a_change_of_the_scheme_or_of_the_width_draws_the_pictures_again(opened):
    page = opened("animals")
    before = drawn(page)
    page.emulate_media(color_scheme="dark")
    assert np.asarray(Image.open(io.BytesIO(drawn(page))).convert("L")).mean() < 70
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 700, "height": 900})
    drawn(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    assert drawn(page) == before


def test_hovering_shows_the_numbers(opened, reports):
    page, report = opened("animals"), reports["animals"]
    drawn(page)
    picture = page.locator("#picture-presence-0")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 12)
    name = page.locator("#picture-presence-0", has_text=report.presence.names[0])
    name.filter(has_text="100 %").wait_for()


def test_every_picture_is_reached_by_keys_and_its_numbers_are_said(opened, reports):
    page, report = opened("animals"), reports["animals"]
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    pictures = page.locator(".picture").evaluate_all("all => all.map((one) => one.id)")
    assert [one for one in reached if one.startswith("picture-")][: len(pictures)] == pictures
    page.focus("#picture-composition-0")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    said = page.locator("#said").inner_text()
    assert report.composition.names[1] in said
    assert f"samples: {report.composition.counts[1, 0]}" in said
    page.keyboard.press("End")
    assert f"samples: {report.composition.counts[-1, -1]}" in page.locator("#said").inner_text()
    page.keyboard.press("Escape")
    for one in pictures:
        assert len(page.locator(f"#{one}").get_attribute("aria-label")) > 40


def test_labels_do_not_overlap(opened):
    page = opened("many groups", 390)
    for rows in page.locator(".picture").evaluate_all("""all => (report.drawAll(), all.map((one) => {
        const chart = echarts.getInstanceByDom(one);
        const axis = chart.getModel().getComponent("yAxis").axis;
        return axis.type === "category" ? axis.getBandWidth() : 99;
    }))"""):
        assert rows >= 11  # the height of the smallest text


def test_a_page_prints_in_dark_letters_with_every_picture_whole(opened, tmp_path):
    page = opened("corpus", 1440, "dark")
    page.emulate_media(media="print")
    page.pdf(path=tmp_path / "page.pdf", format="A4", print_background=True)
    assert (tmp_path / "page.pdf").stat().st_size > 50_000
    assert np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L")).mean() > 200


def test_screenshots_for_the_docs(opened, pictures):
    for scheme in SCHEMES:
        page = opened("animals", 1240, scheme)
        top = Image.open(io.BytesIO(drawn(page, 1150))).convert("RGB").quantize(128)
        path = pictures / f"report-{scheme}.png"
        top.save(path, optimize=True)
        assert 10_000 < path.stat().st_size < 300_000
