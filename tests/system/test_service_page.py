"""The page of the service in a browser: sending images, what it shows, keyboard and labels.

Needs Debian's chromium. The service behind it is the fake of tests/service/http.
"""

from __future__ import annotations

import json
import runpy
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cxr_edge.data.phantom import write_phantom

pytestmark = pytest.mark.system

HERE = Path(__file__).parent
FAKE = runpy.run_path(str(HERE.parent / "service/http/fake.py"))
upload = FAKE["upload"]
TOKEN = "s3cret-of-this-device"
HOSTILE = "<img src=x onerror=alert(1)>.png"
LONG = "ward 3/scans/2026-11/a very long name that somebody thought was a good idea " + "x" * 60

LAYOUT = """
(() => {
  const page = document.documentElement;
  const box = element => element.getBoundingClientRect();
  const unseen = ".unseen, dialog:not([open]), .button input, thead";
  const isUnseen = element => element.closest(unseen) || box(element).width === 0;
  const elements = [...document.body.querySelectorAll("*")].filter(e => !isUnseen(e));
  const name = element => element.outerHTML.slice(0, 80);
  const texts = elements.filter(e => [...e.childNodes].some(
    node => node.nodeType === Node.TEXT_NODE && node.textContent.trim()));
  const findings = {overflow: page.scrollWidth - page.clientWidth, wide: [], cut: [], overlaps: [],
                    small: [], faint: []};
  for (const element of elements)
    if (box(element).right > page.clientWidth + .5 || box(element).left < -.5)
      findings.wide.push(name(element));
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const pen = canvas.getContext("2d", {willReadFrequently: true});
  const parts = colour => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const linear = c => (c /= 255) <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
    return .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parts(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  texts.forEach((text, n) => {
    const style = getComputedStyle(text);
    if (text.scrollWidth > text.clientWidth + 1 && text.clientWidth) findings.cut.push(name(text));
    if (parseFloat(style.fontSize) < 12) findings.small.push(name(text));
    const two = [luminance(parts(style.color)), luminance(behind(text))].sort((a, b) => b - a);
    if ((two[0] + .05) / (two[1] + .05) < 4.5) findings.faint.push(name(text));
    for (const other of texts.slice(n + 1)) {
      if (text.contains(other) || other.contains(text)) continue;
      const [a, b] = [box(text), box(other)];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 1 && down > 4) findings.overlaps.push(`${name(text)} | ${name(other)}`);
    }
  });
  return findings;
})()
"""

ROWS = """
[...document.querySelectorAll("#rows tr")].map(row => [...row.cells].map(c => c.innerText.trim()))
"""
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, "")}


@pytest.fixture
def service() -> Iterator[Any]:
    service = FAKE["FakeService"]()
    yield service
    service.pool.shutdown(cancel_futures=True)


@pytest.fixture
def servers() -> Iterator[list[Any]]:
    """Those that run; they are stopped at the end."""
    servers: list[Any] = []
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def start(service: Any, servers: list[Any]) -> Callable[..., str]:
    """Starts a server and gives the page's address."""

    def start_server(**settings: Any) -> str:
        servers.append(FAKE["serve"](service, **settings))
        return f"http://127.0.0.1:{servers[-1].port}/"

    return start_server


@pytest.fixture
def page(start: Callable[..., str]) -> str:
    return start()


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two images, the second uncertain."""
    paths = [tmp_path / "lung-1.png", tmp_path / "lung-2.png"]
    for path, score in zip(paths, (0.93, 0.55), strict=True):
        path.write_bytes(upload(score))
    return paths


def wait(browser: Any, condition: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not browser.run(f"!!({condition})"):
        assert time.monotonic() < until, f"not in time: {condition}"
        time.sleep(0.03)


def wait_for_rows(browser: Any, count: int) -> list[list[str]]:
    wait(browser, f"document.querySelectorAll('#rows tr').length === {count}")
    rows: list[list[str]] = browser.run(ROWS)
    return rows


def press(browser: Any, key: str, *, shift: bool = False) -> None:
    code, letter = KEYS[key]
    for kind, text in (("keyDown", letter), ("keyUp", "")):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, modifiers=8 * shift,
                     windowsVirtualKeyCode=code, text=text)  # fmt: skip


def focused(browser: Any) -> str:
    text: str = browser.run("document.activeElement.id || document.activeElement.textContent")
    return text


def choose(browser: Any, paths: list[Path]) -> None:
    """Answer the dialog that the button opens."""
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])


def start_drag(browser: Any, page: str, paths: list[Path], target: str) -> Callable[[str], None]:
    """Open the page and give what sends the events of files that are dragged to the target."""
    browser.open(page, 400, "dark")
    wait(browser, "document.getElementById('state').className === 'good'")  # moves what is below
    x, y = browser.run(
        f"(box => [box.left + 20, box.top + 10])"
        f"(document.querySelector({json.dumps(target)}).getBoundingClientRect())"
    )
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}

    def drag(kind: str) -> None:
        browser.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    return drag


def wait_for_polls(browser: Any, count: int = 1) -> None:
    for _ in range(count):
        before = browser.run("lastAnswer.toISOString()")
        wait(browser, f"lastAnswer.toISOString() !== {json.dumps(before)}")


def draw_all_kinds(service: Any) -> None:
    """A row of every kind, and more than one page of them."""
    for number in range(55):
        service._store(f"older-{number:02}.png", upload(number / 55), f"{number:064x}")
    for name, data in (
        ("both.png", upload(0.48, unlike=True)),
        ("surely.png", upload(1.0)),
        ("broken.png", b"bad"),
        (HOSTILE, upload(0.55)),
        (LONG, upload(0.02, unlike=True)),
    ):
        service._store(name, data, "ab" * 32)


@pytest.mark.parametrize("width", [1280, 700, 400, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_overlaps_or_is_faint(browser, service, page, width, scheme):
    draw_all_kinds(service)
    browser.open(page, width, scheme)
    wait_for_rows(browser, 50)
    clean = {"overflow": 0, "wide": [], "cut": [], "overlaps": [], "small": [], "faint": []}
    assert browser.run(LAYOUT) == clean
    browser.run("document.querySelector('#rows button').click()")
    wait(browser, "document.getElementById('heatmap-picture').naturalWidth")
    detail = browser.run(
        LAYOUT.replace("document.body.query", "document.querySelector('dialog[open]').query")
    )
    assert detail == clean
    service.problems, service.paused = ("the golden input 3 has the score 0.412",), "disk full"
    wait(browser, "document.getElementById('state').className === 'bad'")
    browser.run("document.getElementById('detail').close()")
    assert browser.run(LAYOUT) == clean
    assert browser.complaints() == []
    assert all(url.startswith((page, f"blob:{page}")) for url in browser.requests())


def test_chosen_files_become_rows_that_stay(browser, service, page, images):
    browser.open(page, 1280, "light")
    wait(browser, "!document.getElementById('empty').hidden")
    choose(browser, images)
    rows = {row[0]: row[1:4] for row in wait_for_rows(browser, 2)}
    assert rows == {
        "lung-1.png": ["PNEUMONIA", "0.929", ""],
        "lung-2.png": ["PNEUMONIA", "0.549", "uncertain"],
    }
    wait(browser, "!document.getElementById('uploads').children.length")
    assert browser.complaints() == []
    browser.open(page, 1280, "light")
    assert {row[0] for row in wait_for_rows(browser, 2)} == {"lung-1.png", "lung-2.png"}
    choose(browser, images[:1])  # the same once more
    wait(browser, "document.getElementById('news').textContent.includes('was classified before')")
    assert len(wait_for_rows(browser, 2)) == len(service.results) == 2


@pytest.mark.parametrize("target", ["#drop", "h1"])
def test_dropped_files_become_rows(browser, page, images, target):
    drag = start_drag(browser, page, images, target)
    for kind in ("dragEnter", "dragOver"):
        drag(kind)
    wait(browser, "document.getElementById('drop').className === 'over'")
    drag("drop")
    wait_for_rows(browser, 2)
    assert browser.run("document.getElementById('drop').className") == ""
    assert browser.run("[location.pathname, document.visibilityState]") == ["/", "visible"]
    assert browser.complaints() == []


def test_a_drop_where_the_page_has_just_moved_is_taken(browser, page, images):
    """The browser then sends a dragenter for what is there now, and no dragover before the drop."""
    drag = start_drag(browser, page, images, "#drop")
    for kind in ("dragEnter", "dragOver"):
        drag(kind)
    wait(browser, "document.getElementById('drop').className === 'over'")
    browser.run("document.querySelector('main').style.paddingTop = '80px'")
    drag("drop")
    wait_for_rows(browser, 2)
    assert browser.run("document.visibilityState") == "visible"


def test_a_drag_that_leaves_the_window_is_forgotten(browser, page):
    """The protocol's dragCancel sends the page no dragleave, so these events are made in it."""
    browser.open(page, 400, "dark")
    wait(browser, "document.getElementById('state').className === 'good'")
    browser.run("""
        window.drag = (kind, from, to) => from.dispatchEvent(new DragEvent(
          kind, {bubbles: true, cancelable: true, relatedTarget: to, dataTransfer: window.files}));
        window.files = new DataTransfer();
        files.items.add(new File(["x"], "lung.png"));
        drag("dragenter", document.querySelector("#facts dd"), null);
    """)
    is_over = "document.getElementById('drop').className === 'over'"
    assert browser.run(is_over)
    browser.run("document.querySelector('#facts dd').remove()")  # nothing says that it was left
    browser.run("drag('dragenter', document.body, null), drag('dragover', document.body, null)")
    assert browser.run(is_over)
    browser.run("drag('dragleave', document.body, null)")
    assert not browser.run(is_over)


def test_an_image_that_cannot_be_read_says_why(browser, page, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"bad")
    browser.open(page, 400, "light")
    choose(browser, [path])
    ((name, decision, score, remarks, _),) = wait_for_rows(browser, 1)
    assert (name, decision, score) == ("notes.txt", "", "")
    assert "failed" in remarks and "this is no image" in remarks


def test_names_are_text_and_never_markup(browser, service, page):
    draw_all_kinds(service)
    browser.open(page, 1280, "light")
    rows = wait_for_rows(browser, 50)
    assert HOSTILE in [row[0] for row in rows]
    browser.run(
        "[...document.querySelectorAll('#rows button')]"
        f".find(button => button.textContent === {json.dumps(HOSTILE)}).click()"
    )
    wait(browser, "document.getElementById('heatmap-picture').naturalWidth")
    assert browser.run("document.getElementById('detail-name').textContent") == HOSTILE
    assert browser.run("document.querySelectorAll('img').length") == 1
    assert HOSTILE in browser.run("document.getElementById('heatmap-picture').alt")


def test_results_that_arrive_appear_and_are_announced(browser, service, page):
    browser.open(page, 1280, "light")
    wait(browser, "!document.getElementById('empty').hidden")
    service.submit("from-inbox.dcm", upload(0.55)).result()
    ((name, *_),) = wait_for_rows(browser, 1)
    news = "document.getElementById('news')"
    assert name == "from-inbox.dcm"
    assert browser.run(f"{news}.textContent") == "from-inbox.dcm: PNEUMONIA, score 0.549, uncertain"
    assert browser.run(f"{news}.ariaLive") == "polite"
    assert browser.complaints() == []


def test_older_results_come_on_request_and_stay(browser, service, page):
    draw_all_kinds(service)
    browser.open(page, 1280, "light")
    wait_for_rows(browser, 50)
    browser.run("document.getElementById('older').click()")
    rows = wait_for_rows(browser, 60)
    assert rows[-1][0] == "older-00.png"
    assert focused(browser) == "older-09.png"
    wait(browser, "document.getElementById('older').hidden")
    service.submit("new.png", upload()).result()
    wait(browser, "document.querySelector('#rows button').textContent === 'new.png'")
    assert [row[0] for row in browser.run(ROWS)] == ["new.png", *(row[0] for row in rows)][:60]


def test_after_a_long_gap_the_newest_are_shown_without_a_hole(browser, service, page):
    service._store("first.png", upload(), "ab" * 32)
    browser.open(page, 1280, "light")
    wait_for_rows(browser, 1)
    draw_all_kinds(service)
    wait_for_rows(browser, 50)
    browser.run("document.getElementById('older').click()")
    assert wait_for_rows(browser, 61)[-1][0] == "first.png"


def test_a_poll_leaves_what_did_not_change(browser, service, page):
    service._store("lung.png", upload(0.93), "ab" * 32)
    browser.open(page, 1280, "light")
    wait_for_rows(browser, 1)
    browser.run("window.before = [...document.querySelectorAll('main *')].slice(); 0")
    browser.run("getSelection().selectAllChildren(document.querySelector('#facts dd')); 0")
    browser.run("document.querySelector('#rows button').focus()")
    service.waiting = 3
    wait(browser, "document.getElementById('facts').textContent.includes('3 images')")
    service._store("later.png", upload(0.93), "cd" * 32)
    wait_for_rows(browser, 2)
    assert browser.run("before.every(element => element.isConnected)")
    assert focused(browser) == "lung.png"
    browser.run(
        "getSelection().selectAllChildren([...document.querySelectorAll('#facts dd')].at(-1)); 0"
    )
    text = browser.run("getSelection().toString()")
    wait_for_polls(browser)
    assert text == browser.run("getSelection().toString()") == "0.1.0"


def test_the_focus_stays_in_the_table_when_its_row_goes(browser, service, page):
    draw_all_kinds(service)
    browser.open(page, 1280, "light")
    rows = wait_for_rows(browser, 50)
    browser.run("document.querySelector('#rows tr:last-child button').focus()")
    assert focused(browser) == rows[-1][0]
    service._store("new.png", upload(), "cd" * 32)
    wait(browser, "document.querySelector('#rows button').textContent === 'new.png'")
    assert focused(browser) == rows[-2][0]


def test_a_row_that_is_pressed_does_not_move_before_its_release(browser, service, page):
    service._store("lung.png", upload(0.93), "ab" * 32)
    browser.open(page, 1280, "light")
    wait_for_rows(browser, 1)
    wait(browser, "document.getElementById('state').className === 'good'")
    x, y = browser.run(
        "(box => [box.left + 5, box.top + box.height / 2])"
        "(document.querySelector('#rows button').getBoundingClientRect())"
    )

    def mouse(kind: str) -> None:
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    mouse("mousePressed")
    service._store("later.png", upload(0.93), "cd" * 32)
    wait_for_polls(browser)
    mouse("mouseReleased")
    wait(browser, "document.getElementById('detail').open", 10)
    assert browser.run("document.getElementById('detail-name').textContent") == "lung.png"
    wait_for_rows(browser, 2)
    assert browser.complaints() == []


def test_a_result_opened_right_after_another_shows_its_heat_map(browser, service, page):
    for name in ("one.png", "two.png"):
        service._store(name, upload(0.93), "ab" * 32)
    browser.open(page, 1280, "light")
    wait_for_rows(browser, 2)
    browser.run("document.querySelectorAll('#rows button')[0].click()")
    wait(browser, "document.getElementById('heatmap-picture').naturalWidth")
    browser.run(
        "document.getElementById('detail').close(),"
        "document.querySelectorAll('#rows button')[1].click()"
    )
    picture = "document.getElementById('heatmap-picture')"
    wait(browser, f"{picture}.naturalWidth && {picture}.alt.includes('one.png')", 10)


def test_text_of_a_row_can_be_marked(browser, service, page):
    service._store("broken.png", b"bad", "ab" * 32)
    browser.open(page, 1280, "light")
    wait_for_rows(browser, 1)
    browser.run("getSelection().selectAllChildren(document.querySelector('.message')); 0")
    browser.run("document.querySelector('.message').click()")
    assert not browser.run("document.getElementById('detail').open")
    browser.run("getSelection().removeAllRanges(); document.querySelector('.message').click()")
    assert browser.run("document.getElementById('detail').open")


def test_with_the_keyboard_alone(browser, service, page):
    service._store("lung.png", upload(0.93), "ab" * 32)
    service._store("broken.png", b"bad", "ab" * 32)
    browser.open(page, 1280, "light")
    wait_for_rows(browser, 2)
    order = []
    for _ in range(3):
        press(browser, "Tab")
        order.append(focused(browser))
    assert order == ["files", "broken.png", "lung.png"]
    press(browser, "Enter")
    wait(browser, "document.getElementById('heatmap-picture').naturalWidth")
    assert browser.run("document.getElementById('detail').contains(document.activeElement)")
    assert "PNEUMONIA" in browser.run("document.getElementById('heatmap-picture').alt")
    press(browser, "Escape")
    wait(browser, "!document.getElementById('detail').open")
    assert focused(browser) == "lung.png"
    press(browser, "Tab", shift=True)
    assert focused(browser) == "broken.png"
    press(browser, "Enter")  # of a failure: why, and no heat map
    wait(browser, "document.getElementById('detail').open")
    assert "this is no image" in browser.run("document.getElementById('heatmap-text').textContent")
    press(browser, "Enter")  # the close button has the focus
    wait(browser, "!document.getElementById('detail').open")
    assert focused(browser) == "broken.png"
    assert browser.complaints() == []


def test_a_screen_reader_finds_names_for_everything(browser, service, page):
    draw_all_kinds(service)
    browser.open(page, 400, "light")
    wait_for_rows(browser, 50)
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named: dict[str, list[str]] = {}
    for node in nodes:
        if not node["ignored"]:
            name = node.get("name", {}).get("value", "")
            named.setdefault(node["role"]["value"], []).append(name)
    for role in ("button", "table", "image", "dialog", "heading", "columnheader", "rowheader"):
        assert all(named.get(role, [])), role
    assert named["heading"][0].startswith("cxr-edge")
    assert "choose images" in " ".join(named["button"])
    assert named["table"] == ["Results"]
    assert named["columnheader"] == ["Image", "Decision", "P(PNEUMONIA)", "Remarks", "Time"]
    assert len(named["row"]) == 51 and len(named["rowheader"]) == 50


def test_a_missing_heat_map_says_why(browser, service, page):
    service._store("gone.png", upload(), "ab" * 32)
    browser.open(page, 400, "light")
    wait_for_rows(browser, 1)
    browser.run("document.querySelector('#rows button').click()")
    text = "document.getElementById('heatmap-text').textContent"
    wait(browser, f"{text} === 'No heat map: the image is no longer kept'")
    assert browser.run("document.getElementById('heatmap-picture').hidden")


def test_the_state_is_said_in_words(browser, service, page):
    browser.open(page, 1280, "light")
    verdict = "document.getElementById('verdict').textContent"
    wait(browser, f"{verdict} === 'Working'")
    facts = browser.run("document.getElementById('facts').innerText")
    for text in ("tflite-int8-dynamic", "litert, 2 threads", "5ce1a9c05ce1", "21 GB", "52 °C"):
        assert text in facts
    service.problems = ("the golden input 3 has another score",)
    wait(browser, f"{verdict} === 'Not working as it should'")
    problems = "document.getElementById('problems').innerText"
    assert browser.run(problems) == service.problems[0]
    service.paused = "12 MB of disk are free"
    wait(browser, f"{verdict} === 'Paused: no image is taken'")
    assert browser.run(problems).splitlines() == [service.paused, *service.problems]
    service.problems, service.paused = (), ""
    wait(browser, f"{verdict} === 'Working'")
    assert browser.complaints() == []


def test_a_service_that_is_gone_is_said_and_its_return_too(browser, servers, start):
    page = start()
    port = int(page.rsplit(":", 1)[1].rstrip("/"))
    browser.open(page, 1280, "light")
    verdict = "document.getElementById('verdict').textContent"
    wait(browser, f"{verdict} === 'Working'")
    servers[0].stop()
    wait(browser, f"{verdict} === 'The service does not answer'")
    start(port=port)
    wait(browser, f"{verdict} === 'Working'")


def test_a_service_that_hangs_is_said(browser, service, page, monkeypatch):
    browser.open(page, 1280, "light")
    verdict = "document.getElementById('verdict').textContent"
    wait(browser, f"{verdict} === 'Working'")
    goes_on, report = threading.Event(), service.report
    monkeypatch.setattr(service, "report", lambda: goes_on.wait(60) and report())
    try:
        wait(browser, f"{verdict} === 'The service does not answer'", 20)
    finally:
        goes_on.set()
    wait(browser, f"{verdict} === 'Working'")


def test_a_page_that_is_not_looked_at_asks_nothing(browser, page):
    browser.open(page, 1280, "light")
    wait(browser, "document.getElementById('verdict').textContent === 'Working'")
    hide = (
        "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}}),"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    time.sleep(0.3)
    browser.run(hide.format("true"))
    time.sleep(0.3)
    browser.run("1")
    browser.events.clear()
    time.sleep(2.6)
    browser.run("1")
    assert browser.requests() == []
    browser.run(hide.format("false"))
    time.sleep(0.3)
    browser.run("1")
    assert len(browser.requests()) == 2


def test_a_file_over_the_limit_is_not_sent(browser, service, start, tmp_path):
    path = tmp_path / "large.dcm"
    path.write_bytes(upload(filler=2000))
    browser.open(start(max_upload_bytes=1000), 400, "light")
    wait(browser, "document.getElementById('limits').textContent.includes('1,000 bytes')")
    choose(browser, [path])
    item = "document.querySelector('#uploads .failed')"
    wait(browser, item)
    assert browser.run(f"{item}.innerText").startswith("large.dcm")
    assert "larger than 1,000 bytes" in browser.run(f"{item}.innerText")
    browser.run(f"{item}.querySelector('button').click()")
    assert browser.run("document.getElementById('uploads').children.length") == 0
    assert not service.results
    assert browser.complaints() == []


def test_a_busy_service_is_asked_again(browser, service, page, images):
    service.most_waiting = 0
    browser.open(page, 400, "light")
    wait(browser, "document.getElementById('verdict').textContent === 'Working'")
    choose(browser, images)
    wait(browser, "document.getElementById('uploads').innerText.includes('trying again')")
    service.most_waiting = 10
    wait_for_rows(browser, 2)
    wait(browser, "!document.getElementById('uploads').children.length")


def test_the_token_is_asked_for_once(browser, service, start):
    service._store("lung.png", upload(), "ab" * 32)
    page = start(token=TOKEN)
    browser.open(page, 400, "dark")
    wait(browser, "document.getElementById('ask-token').open")
    assert focused(browser) == "token"

    def enter(token: str) -> None:
        browser.call("Input.insertText", text=token)
        press(browser, "Enter")

    enter("wrong")
    problem = "document.getElementById('token-problem').textContent"
    wait(browser, f"{problem} === 'The service does not accept this token.'")
    assert browser.run("document.getElementById('rows').children.length") == 0
    enter(TOKEN)
    wait_for_rows(browser, 1)
    browser.run("document.querySelector('#rows button').click()")
    wait(browser, "document.getElementById('heatmap-picture').naturalWidth")
    browser.open(page, 400, "dark")
    wait_for_rows(browser, 1)
    assert not browser.run("document.getElementById('ask-token').open")
    assert browser.complaints() == []


def test_the_real_service_from_file_to_heat_map(browser, tmp_path):
    """No fake: a phantom that is chosen on the page, one in the inbox, a reload, a heat map."""
    process = runpy.run_path(str(HERE.parent / "service/service_process.py"))
    running = process["ServiceProcess"](process["write_config"](tmp_path, http=True))
    try:
        address = running.wait_for_line("http://").split(", ")[-1]
        for name in ("chosen.png", "inbox/delivered.png"):
            write_phantom(tmp_path / name, seed=len(name))
        browser.open(address, 1280, "light")
        wait(browser, "document.getElementById('state').className === 'good'")
        choose(browser, [tmp_path / "chosen.png"])
        rows = {row[0] for row in wait_for_rows(browser, 2)}
        assert rows == {"chosen.png", "delivered.png"}
        browser.open(address, 400, "dark")
        wait_for_rows(browser, 2)
        for number in (0, 1):
            browser.run(f"document.querySelectorAll('#rows button')[{number}].click()")
            wait(browser, "document.getElementById('heatmap-picture').naturalWidth", 30)
            browser.run("document.getElementById('detail').close()")
        assert browser.complaints() == []
        assert all(url.startswith((address, f"blob:{address}")) for url in browser.requests())
    finally:
        assert running.terminate() == 0
