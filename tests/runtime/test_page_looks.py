"""How the page looks and speaks: circles to scale, light, dark, phone, kiosk, without a tracker; axe-core on each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, Chromium
from page_inputs import page_of, result_of, show_face

from emer_edge.bundle import Bundle
from emer_edge.core.results import Gap, Result, State
from emer_edge.runtime.evidence import NO_TRACKER
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs.page.output import Page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (make test-deps)")

FIGURE = "document.querySelector('#venn .figure').textContent"
AXE = """axe.run({resultTypes: ["violations"]}).then((found) => found.violations.map(
    (each) => `${each.id}: ${each.nodes.map((node) => node.target + " " + node.failureSummary).join("; ")}`))"""
DETAILS = "document.getElementById('details').open = true"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


@contextmanager
def shown(browser: Chromium, bundle: Bundle, result: Result, query: str = "", **source: object) -> Iterator[Page]:
    """A page that shows a result, in the browser."""
    page = page_of(bundle, sources=[Source(**source)])
    page.begin()
    try:
        page.result(result)
        browser.open(f"{page.server.address.url}{query}#{page.url.partition('#')[2]}")
        browser.until("(document.getElementById('state')?.dataset.state ?? 'connecting') !== 'connecting'")
        yield page
    finally:
        page.end(None)


def face_alone(number: int = 1) -> Result:
    """A result of a run without an eye tracker."""
    result = result_of(number)
    heads = {name: value for name, value in result.heads.items() if name.startswith("fer")}
    notes, absent = (*result.notes, NO_TRACKER), {"er": NO_TRACKER, "gap": NO_TRACKER}
    return replace(result, state=State.NO_GAZE, heads=heads, gap=None, notes=notes, absent=absent, sample_age_ms=None)


def covered(result: Result, seconds: float) -> Result:
    """The result of a window of so many seconds."""
    end_ns = result.end_ns + 20_000_000_000
    return replace(result, end_ns=end_ns, begin_ns=end_ns - round(seconds * 1e9))


@pytest.mark.parametrize("gap", [0.0, 0.07, 0.31, 0.5, 0.86, 1.0])
def test_the_circles_share_as_much_of_their_area_as_the_gap_says(browser: Chromium, bundle: Bundle, gap: float) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    with shown(browser, bundle, replace(result_of(1), gap=Gap(gap, (37, 40), 0.5))):
        browser.until(f"{FIGURE} === '{gap:.2f}'")
        rings = "[...document.querySelectorAll('#venn circle.ring')]"
        circles = browser.value(f"{rings}.map((ring) => ['cx', 'cy', 'r'].map((name) => +ring.getAttribute(name)))")
        y, x = np.mgrid[0:190:0.25, 0:320:0.25]
        felt, shows = (np.hypot(x - cx, y - cy) < r for cx, cy, r in circles)
        assert (felt & shows).sum() / felt.sum() == pytest.approx(1 - gap, abs=0.012)
        assert min(cx - r for cx, _, r in circles) > 0
        assert max(cx + r for cx, _, r in circles) < 320


def test_what_a_reading_covers_and_what_is_usual_stand_at_the_course(browser: Chromium, bundle: Bundle) -> None:
    with shown(browser, bundle, covered(result_of(1, 0.6), 12.0)):
        assert browser.text("#covers") == "This reading covers the last 12.0 s."
        words = browser.value("[...document.querySelectorAll('#gap-trace text')].map((each) => each.textContent)")
        assert {"gap", "0", "0.5", "1", "now", "−30 s", "covered by this reading"} <= set(words)
        usual, low, high = (
            browser.value(f"+document.querySelectorAll('#gap-trace {line}').getAttribute('y1')")
            if "[" in line
            else browser.value(f"+[...document.querySelectorAll('#gap-trace {line}')].at(-1).getAttribute('y1')")
            for line in (".usual", "line.grid:first-of-type", "line.grid")
        )
        expected = np.quantile(bundle.manifest.gap.agreeing, 0.95, method="inverted_cdf")
        assert (low - usual) / (low - high) == pytest.approx(expected, abs=0.01)


def test_banners_say_what_is_not_real(browser: Chromium, bundle: Bundle) -> None:
    said = "[...document.querySelectorAll('#banners li')].map((each) => each.textContent)"
    with shown(browser, bundle, result_of(1), camera="synthetic://"):
        assert browser.value(said) == [
            "Demo weights: these figures say nothing about people.",
            "Simulated sensors: nobody is being read.",
        ]
        assert "demo weights" not in browser.text("#notes")  # once is enough
    with shown(browser, bundle, replace(result_of(1), notes=("a note",)), camera="0", tracker="/dev/ttyUSB0"):
        assert browser.value(said) == []
        assert browser.text("#notes") == "a note"


def test_a_recording_that_was_simulated_is_known(browser: Chromium, bundle: Bundle, tmp_path: Path) -> None:
    for name in ("video.avi", "tracker.tsv"):
        (tmp_path / name).touch()
    with shown(browser, bundle, result_of(1), camera=str(tmp_path / "video.avi"), tracker=str(tmp_path)):
        assert "Simulated" not in browser.text("#banners")
    (tmp_path / "synthetic.json").touch()
    with shown(browser, bundle, result_of(1), camera=str(tmp_path / "video.avi"), tracker="/dev/ttyUSB0"):
        assert "Simulated" in browser.text("#banners")


def test_without_a_tracker_the_face_has_the_page(browser: Chromium, bundle: Bundle) -> None:
    with shown(browser, bundle, face_alone()):
        assert browser.text("#state") == "face alone"
        assert browser.text("#gap-title") == "What the face shows"
        visible = "(selector) => [...document.querySelectorAll(selector)].some((each) => each.checkVisibility())"
        for gone in (".felt", "#venn", "#gap-trace", "#gaze-card"):
            assert not browser.value(f"({visible})('{gone}')"), gone
        assert browser.value(f"({visible})('#shown-word')")
        text = browser.value("document.body.innerText")
        assert text.count(NO_TRACKER) == 1  # the reason stands there, and stands there once
        assert browser.value("document.querySelectorAll('#sensors dt').length") == 1
        assert browser.value("document.querySelectorAll('#valence polyline').length") == 1  # what is shown is drawn


def test_a_kiosk_has_no_buttons_and_fits(browser: Chromium, bundle: Bundle) -> None:
    for width, height in ((1920, 1080), (1280, 800)):
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        with shown(browser, bundle, result_of(1), "?kiosk=1") as page:
            show_face(page, 1)
            controls = "[...document.querySelectorAll('button, select, input, summary, a')]"
            assert browser.value(f"{controls}.filter((each) => each.checkVisibility()).length") == 0
            for needed in (".notice", "#banners", "#felt-word", "#shown-word", "#venn", "#covers", "#bars"):
                assert browser.value(f"document.querySelector('{needed}').checkVisibility()"), needed
            sizes = browser.value("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
            assert sizes == [width, height]
            assert browser.value("location.search") == "?kiosk=1"


def test_labels_and_bars_are_apart_on_a_phone(browser: Chromium, bundle: Bundle) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=True)
    with shown(browser, bundle, result_of(1)):
        gaps = browser.value(
            """[...document.querySelectorAll('#bars tr')].flatMap((row) => {
            const range = document.createRange(); range.selectNodeContents(row.querySelector('th'));
            const word = range.getBoundingClientRect();
            const [felt, shown] = [...row.querySelectorAll('.track')].map((each) => each.getBoundingClientRect());
            return [word.left - felt.right, shown.left - word.right]; })"""
        )
        assert min(gaps) >= 4


STATES = {
    "light": (1280, False, "", result_of(1)),
    "dark": (1280, True, "", result_of(1)),
    "phone": (390, False, "", result_of(1)),
    "dark phone": (390, True, "", result_of(1)),
    "kiosk": (1920, False, "?kiosk=1", result_of(1)),
    "dark kiosk": (1920, True, "?kiosk=1", result_of(1)),
    "face alone": (1280, False, "", face_alone()),
    "dark face alone on a phone": (390, True, "", face_alone()),
    "filling": (1280, False, "", replace(result_of(1, state=State.FILLING), filling_s=7.5)),
    "no face": (1280, True, "", result_of(1, state=State.NO_FACE)),
}


@pytest.mark.skipif(find_spec("axe_core_python") is None, reason="axe-core-python is not installed (extra dev)")
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(browser: Chromium, bundle: Bundle, state: str) -> None:
    width, dark, query, result = STATES[state]
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    browser.scheme(dark)
    with shown(browser, bundle, covered(result, 12.0), query, camera="synthetic://") as page:
        page.feeds[None].controls.setdefault("record", lambda asked: None)
        browser.value(f"{DETAILS}; 0")
        browser.value(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8") + "; 0")
        assert browser.value(AXE) == []
    browser.scheme(False)


def test_what_is_spoken_does_not_chatter(browser: Chromium, bundle: Bundle) -> None:
    regions = "[...document.querySelectorAll('[aria-live], [role=status], [role=alert]')].map((each) => each.id)"
    with shown(browser, bundle, result_of(1)) as page:
        assert sorted(browser.value(regions)) == ["answer", "spoken"]
        browser.value(
            "window.said = []; new MutationObserver(() => said.push(document.getElementById('spoken').textContent))"
            ".observe(document.getElementById('spoken'), {childList: true}); 0"
        )
        for number in range(2, 20, 2):
            page.result(result_of(number, number / 20))
            browser.until(f"{FIGURE} === '{number / 40:.2f}'")
        page.result(result_of(20, state=State.NO_FACE))
        browser.until("document.getElementById('state').dataset.state === 'no_face'")
        assert browser.value("said") == ["no face"]


def test_a_marker_is_set_with_the_keyboard(browser: Chromium, bundle: Bundle) -> None:
    with shown(browser, bundle, result_of(1)) as page:
        browser.value("document.getElementById('label').focus()")
        browser.call("Input.insertText", text="lights <off>")
        for kind in ("keyDown", "keyUp"):
            browser.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )
        browser.until("document.getElementById('answer').textContent === 'Marker set: lights <off>'")
        stream = page.feeds[None]._run
        assert [marker.label for marker in stream.markers.take(1 << 62, 1)[0]] == ["lights <off>"]
        browser.value("document.getElementById('label').value = '\\u200b'; 0")
        browser.value("document.getElementById('marker').requestSubmit()")
        browser.until("document.getElementById('answer').textContent.startsWith('Not done: a marker needs a label')")
        assert json.dumps(browser.complaints()).count("status of 400") == 1
