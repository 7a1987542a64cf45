"""The page in a real browser: values that change, a server that goes and comes back, and a closed door."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations

import msgspec
import pytest
from chromium import CHROMIUM, Chromium
from page_inputs import TOKEN, page_of, port_of, result_of, show_face, show_gaze, token_of
from runtime_inputs import LiveCamera, LiveTracker, scene

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import State
from emer_edge.core.session_facts import Marker
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs import Host
from emer_edge.runtime.outputs.page.output import Page, PageOptions
from emer_edge.runtime.outputs.web_access import PASS_S
from emer_edge.runtime.pipeline import Pipeline
from emer_edge.runtime.play import play

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (make test-deps)")

FIGURE = "document.querySelector('#venn .figure').textContent"
LIT = """(() => { const canvas = document.getElementById('video'); const pen = canvas.getContext('2d');
    const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    return data.reduce((sum, each) => sum + each, 0) > 255 * data.length / 3; })()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("profile")) as made:
        yield made


@contextmanager
def faces(page: Page) -> Iterator[None]:
    """Show faces to a page, as a camera would."""
    over = threading.Event()

    def feed() -> None:
        number = 0
        while not over.wait(0.03):
            show_face(page, number := number + 1)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def wait_for_state(browser: Chromium, name: str, seconds: float = 15.0) -> None:
    browser.until(f"document.getElementById('state').dataset.state === '{name}'", seconds)


def test_a_run_is_seen(browser: Chromium, bundle: Bundle) -> None:
    pictures = [scene(100 + n, 90) for n in range(60)]
    pipeline = Pipeline(bundle, LiveCamera(pictures), LiveTracker())
    page = Page(PageOptions("0"), Host(pipeline))
    run = threading.Thread(target=play, args=(pipeline, [page]))
    browser.forget()
    run.start()
    try:
        time.sleep(0.1)
        browser.open(page.url)
        wait_for_state(browser, "filling")
        assert "s left" in browser.text("#gap-more")
        assert browser.value("document.getElementById('filling').hidden") is False
        wait_for_state(browser, "ok")
        browser.until(LIT)
        assert "Emotion inference is running" in browser.text(".notice")
        assert "Article 50(3)" in browser.text(".notice")
        word, figures = browser.text("#felt-word"), browser.text("#percentiles")
        assert word in ("happiness", "sadness", "fear", "surprise", "disgust", "anger", "neutral")
        assert float(browser.value(FIGURE)) >= 0
        browser.until(f"document.getElementById('percentiles').textContent !== {figures!r}")
        browser.until("document.querySelectorAll('#valence polyline').length === 2")
        browser.until("document.getElementById('face-note').textContent === 'face detected'")
        assert float(browser.value("document.querySelector('#display .point').getAttribute('cx')")) > 0
        browser.until("document.getElementById('slots').textContent.includes('8 of 8 slots covered')")
        assert "Demo weights" in browser.text("#banners")
    finally:
        pipeline.stop()
        run.join()
    wait_for_state(browser, "ended")
    assert "Emotion inference has ended" in browser.text(".notice")
    browser.until(f"!{LIT}")  # nobody's face stays on the screen
    assert all(each.startswith(page.server.address.url) for each in browser.requests() if each != "about:blank")
    assert [each for each in browser.complaints() if "ERR_" not in each and "#token=" not in each] == []


def test_every_result_changes_the_page(browser: Chromium, page: Page) -> None:
    page.result(result_of(1, 0.6))
    browser.open(page.url)
    browser.until(f"{FIGURE} === '0.30'")
    assert browser.text("#felt-share") == "60 %"
    assert browser.text("#bars tr:first-child .felt span") == "60 %"
    page.result(result_of(2, 0.9))
    browser.until(f"{FIGURE} === '0.45'")
    assert browser.text("#shown-share") == "90 %"
    assert browser.text("#covers") == "This reading covers the last 0.6 s."
    assert browser.text("#gap-more") == "Larger than in 37 of 40 clips in which felt and shown agree."
    assert "is 0.6 s long · labels differ: 81 % · felt minus shown: valence −0.50" in browser.text("#reading")
    assert browser.text("#dropped") == "2 camera"
    assert browser.value("document.querySelector('#valence polyline').points.length") == 2
    assert "2 in all" in browser.text("#percentiles")
    assert browser.text("#spoken") == "ok"  # spoken at changes of state, not at every hop
    page.result(result_of(3, state=State.NO_FACE))
    wait_for_state(browser, "no_face")
    assert browser.value(FIGURE) == browser.text("#felt-word") == browser.text("#bars tr:first-child .felt span") == "–"
    assert browser.text("#spoken") == "no face"
    show_gaze(page, seen=False)
    browser.until("document.querySelector('#display .away') !== null")


def test_a_server_that_comes_back_is_found_again(browser: Chromium, bundle: Bundle, page: Page) -> None:
    page.result(result_of(1, 0.6))
    browser.open(page.url)
    browser.until(f"{FIGURE} === '0.30'")
    page.end(None)
    wait_for_state(browser, "ended")
    again = page_of(bundle, str(port_of(page)), token_of(page))
    again.begin()
    try:
        again.result(result_of(7, 0.8))
        browser.until(f"{FIGURE} === '0.40'")
        wait_for_state(browser, "ok")
        assert "Emotion inference is running" in browser.text(".notice")
        with faces(again):
            browser.until(LIT)
        again.server.shutdown()
        again.server.end()  # as if the process had been killed: no goodbye
        wait_for_state(browser, "lost")
    finally:
        again.end(None)


def test_without_the_token_there_is_a_closed_door(browser: Chromium, bundle: Bundle) -> None:
    page = page_of(bundle, "0", TOKEN)
    page.begin()
    try:
        page.result(result_of(1, 0.6))
        browser.open(page.url)
        browser.until("document.querySelector('h1').textContent === 'This page needs a token'")
        assert "happiness" not in browser.value("document.documentElement.outerHTML")
        browser.value("document.getElementById('token').value = 'wrong-wrong-wrong'; undefined")
        browser.value("document.querySelector('form').requestSubmit()")
        browser.until("document.getElementById('answer').textContent.includes('not the token')")
        browser.open("about:blank")
        browser.open(f"{page.url}#token={TOKEN}")
        browser.until("document.getElementById('felt-word')?.textContent === 'happiness'")
        assert browser.value("location.href") == page.url
        assert browser.value("document.cookie") == ""
        assert not any(TOKEN in each for each in browser.requests() if not each.endswith(f"#token={TOKEN}"))
    finally:
        page.end(None)


MARKUP = '"><img src=x onerror="window.ran=1"><script>window.ran=1</script><svg onload=window.ran=1>&lt;b'


@pytest.mark.case("markers, classes, streams, notes and losses that are named in HTML", source="", before="not tested")
def test_names_are_text_whatever_is_in_them(browser: Chromium, bundle: Bundle) -> None:
    heads = tuple(
        msgspec.structs.replace(head, classes=tuple(f"{MARKUP}{at}" for at in range(len(head.classes))))
        for head in bundle.manifest.heads
    )
    named = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, name=MARKUP, heads=heads))
    for name in (MARKUP, "__proto__", "javascript:alert(1)"):
        with pytest.raises(ConfigurationError, match="a stream can't be called"):
            Source(name=name)
    page = page_of(named, sources=[Source(name="toString"), Source(name="constructor")])
    page.begin()
    try:
        shown = {
            head.name: {each: 1 / (1 + at) for at, each in enumerate(head.classes)} for head in heads if head.classes
        }
        for number in (1, 2):
            odd = {
                "markers": (Marker(MARKUP, number),),
                "notes": (MARKUP,),
                "degraded": (MARKUP,),
                "dropped": {MARKUP: 3},
            }
            made = result_of(number)
            page.result(replace(made, stream="toString", heads=made.heads | shown, engines={MARKUP: MARKUP}, **odd))
        browser.forget()
        browser.open(page.url)
        browser.until(f"document.getElementById('felt-word')?.textContent === {json.dumps(MARKUP + '0')}")
        for place in (
            "#bundle",
            "#bars th",
            "#shown-word",
            "#notes",
            "#dropped",
            "title",
            "#valence .marker title",
        ):
            assert MARKUP in browser.text(place), place
        assert browser.value("window.ran") is None
        assert browser.value("[document.images.length, document.scripts.length]") == [0, 1]
        assert browser.value("document.querySelectorAll('[onerror], [onload], b:not(.track)').length") == 0
        assert [each for each in browser.complaints() if "#token=" not in each] == []
        browser.value("document.querySelectorAll('#streams input')[1].click()")
        browser.until("new URLSearchParams(location.search).get('stream') === 'constructor'")
        wait_for_state(browser, "connecting")
    finally:
        page.end(None)


def test_the_pass_is_a_cookie_that_no_script_sees_and_that_expires(
    browser: Chromium, bundle: Bundle, page: Page
) -> None:
    browser.open(page.url)
    browser.until("document.getElementById('felt-word') !== null")
    address = page.server.address.url
    kept = browser.call("Network.getCookies", urls=[address])["cookies"]
    (cookie,) = [each for each in kept if each["name"] == page.server.access.cookie_name]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["session"]) == (True, "Strict", False)
    assert 0 < cookie["expires"] - time.time() <= PASS_S + 60
    assert token_of(page) not in cookie["value"]
    assert browser.value("document.cookie") == ""
    # Another site's page (here another port's) gets neither the cookie's rights nor an answer that it could read.
    other = page_of(bundle, open_to_all=True)
    other.begin()
    try:
        browser.open(other.url)
        asked = (
            f"fetch('{address}frame', {{credentials: 'include', mode: 'no-cors'}}).then(() => 'read', () => 'refused')"
        )
        assert browser.value(asked) == "refused"
    finally:
        other.end(None)


def test_every_stage_and_age_is_shown_whole(browser: Chromium, page: Page) -> None:
    for number in range(1, 40):
        page.result(result_of(number))
    page.result(replace(result_of(40), stages_ms={"wait": 0.2, "encode": 90.0, "total": 900.0}))
    browser.open(page.url)
    browser.until("document.querySelectorAll('#stages tr').length === 6")
    rows = browser.value(
        "[...document.querySelectorAll('#stages tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    )
    assert [row[0] for row in rows][:2] == ["step latency (deadline to result)", "end-to-end latency"]
    assert rows[0][-3:] == ["900 ms", "900 ms", "40"]  # of 40 the slowest is the p99
    assert rows[1][-2:] == ["962 ms", "40"]  # a face 12 ms old at the window's end, 50 ms of allowance, the step
    assert rows[3][2:] == ["3.1 ms", "3.1 ms", "90 ms", "90 ms", "40"]
    bars = "[...document.querySelectorAll('#stages tr:nth-child(4) rect')].map((each) => each.height.baseVal.value)"
    assert browser.value(f"{bars}.length") == 2  # one slow step is seen beside 39
    assert min(browser.value(bars)) >= 2.5


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("slowest_ms", [3.1, 3.6, 90.0])
def test_labels_of_the_histogram_do_not_overlap(browser: Chromium, page: Page, width: int, slowest_ms: float) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    for number in range(1, 120):
        page.result(replace(result_of(number), stages_ms={"total": 3.0 if number < 100 else 3.1}))
    page.result(replace(result_of(120), stages_ms={"total": slowest_ms}))
    browser.open(page.url)
    browser.until("document.querySelectorAll('#histogram .mark-text').length === 3")
    browser.value("document.getElementById('details').open = true; 0")
    browser.until("document.getElementById('histogram').getBoundingClientRect().width > 200")
    drawing = "document.getElementById('histogram')"
    browser.until(f"{drawing}.viewBox.baseVal.width === {drawing}.clientWidth")
    boxes = browser.value(
        "[...document.querySelectorAll('#histogram .mark-text')].map((each) => each.getBoundingClientRect().toJSON())"
    )
    for one, other in combinations(boxes, 2):
        apart = one["right"] <= other["left"] or other["right"] <= one["left"]
        assert apart or one["bottom"] <= other["top"] + 2 or other["bottom"] <= one["top"] + 2
    assert all(each["left"] >= 0 and each["right"] <= width for each in boxes)


def test_keys_alone_are_enough(browser: Chromium, page: Page) -> None:
    page.result(result_of(1))
    browser.open(page.url)
    wait_for_state(browser, "ok")
    reached = []
    for _ in range(6):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(browser.value("document.activeElement.id || document.activeElement.className"))
    assert reached[0] == "skip"
    assert reached[1] == "label"
    assert reached[3] == "pause"
    assert "summary" in browser.value("document.querySelector('#details').firstElementChild.localName")
    browser.value("document.getElementById('pause').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=" ", code="Space", windowsVirtualKeyCode=32, text=" ")
    browser.until("document.getElementById('pause').getAttribute('aria-pressed') === 'true'")
    browser.value(
        "const s = document.getElementById('stage'); s.value = 'encode'; s.dispatchEvent(new Event('change'))"
    )
    browser.until("document.getElementById('histogram').ariaLabel.startsWith('encoding the face: half within 3.1')")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_sticks_out(browser: Chromium, page: Page, width: int) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    page.result(result_of(1))
    browser.open(page.url)
    wait_for_state(browser, "ok")
    assert browser.value("document.documentElement.scrollWidth") <= width
    seen = browser.value("document.querySelector('.notice').getBoundingClientRect().top")
    browser.value("window.scrollTo(0, 600)")
    assert browser.value("document.querySelector('.notice').getBoundingClientRect().top") == seen == 0


def test_colours_and_motion_follow_the_reader(browser: Chromium, page: Page) -> None:
    page.result(result_of(1))
    browser.open(page.url)
    wait_for_state(browser, "ok")
    papers, speeds = [], []
    for scheme, motion in (("light", "no-preference"), ("dark", "reduce")):
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        browser.call("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in features.items()])
        papers.append(browser.value("getComputedStyle(document.body).backgroundColor"))
        speeds.append(browser.value("getComputedStyle(document.querySelector('.track i')).transitionDuration"))
    assert papers == ["rgb(245, 247, 249)", "rgb(16, 19, 21)"]
    assert speeds == ["0.35s", "0s"]
