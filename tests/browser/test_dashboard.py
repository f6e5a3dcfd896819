"""The dashboard in a browser, on a service that has data and no engine."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium, Tab, chromium
from tests.fakes.running_service import STRANGER, Running, running_service
from tests.waiting import wait_until
from wherry_proto.messages import AppOpenRequest, EnvironmentCreateRequest, TokenCreateRequest

AXE = Path(__file__).parents[2] / ".dev/browser/axe.min.js"
# Set to a folder: pictures of all pages are left there.
PICTURES = "WHERRY_PICTURES"
FIRST_PAINT_MS = 300
TRIES = 15
MOST_BYTES = 2 << 20

# Where a page is whose address has an id: the page that links to it, and which of its links.
LINKED = {
    "app": ("/apps", "/apps/ap-"),
    "function": ("/calls", "/functions/fu-"),
    "call": ("/calls?state=succeeded", "/calls/in-"),
    "failed-call": ("/calls?state=failed", "/calls/in-"),
    "container": ("/logs", "/containers/co-"),
    "volume": ("/volumes", "/volumes/vo-"),
}
PLAIN = (
    "", "apps", "calls", "containers", "logs", "schedules", "sandboxes", "images", "secrets", "dicts", "queues",
    "volumes", "environments", "tokens", "audit",
)  # fmt: skip


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running_service(WHERRY_TEST_SEED="10000") as running:
        yield running


@pytest.fixture(scope="module")
def browser(service: Running) -> Iterator[Chromium]:
    with chromium() as found:
        tab = found.tab()
        tab.open(service.link().url)
        tab.wait("location.pathname === '/'", "one is signed in")
        tab.close()
        yield found


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Tab]:
    found = browser.tab()
    found.size(1280)
    yield found
    found.ask("Page.close")
    found.close()


@pytest.fixture(scope="module")
def paths(service: Running, browser: Chromium) -> dict[str, str]:
    """Where all pages are, by their names."""
    tab = browser.tab()
    found = {name or "home": f"/{name}" for name in PLAIN}
    for name, (page, begin) in LINKED.items():
        tab.open(service.url + page)
        path = tab.run(f"document.querySelector(\"main a[href^='{begin}']\")?.getAttribute('href')")
        assert path, f"{page} has no link to {begin}"
        found[name] = path
    tab.ask("Page.close")
    tab.close()
    return found


@pytest.mark.parametrize("name", [*(name or "home" for name in PLAIN), *LINKED])
def test_a_page_is_quick_accessible_and_complains_of_nothing(
    name: str, service: Running, tab: Tab, paths: dict[str, str]
) -> None:
    """In light and dark, at 1280 pixels and at 360, by the rules of axe-core; and it is small."""
    url = service.url + paths[name]
    tab.open(url, "Wherry")
    assert tab.received_bytes < MOST_BYTES
    if folder := os.environ.get(PICTURES):
        tab.picture(Path(folder) / f"{name}.png")
    for width, is_dark in ((1280, False), (360, True)):
        tab.size(width, dark=is_dark)
        tab.run(AXE.read_text() + ";0")
        # Canvases and such that are drawn anew.
        found = tab.run("axe.run(document, {resultTypes: ['violations']}).then(r => JSON.stringify(r.violations))")
        assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in json.loads(found)] == []
        wide = tab.run("document.documentElement.scrollWidth")
        assert wide <= width, f"the page is {wide} pixels wide"
        if folder:
            tab.picture(Path(folder) / f"{name}-{width}{'-dark' if is_dark else ''}.png")
    assert tab.complaints == []


@pytest.mark.parametrize("name", ["home", "calls", "containers", "logs", "function"])
def test_a_page_is_painted_soon(name: str, service: Running, tab: Tab, paths: dict[str, str]) -> None:
    """With 10,000 calls. Once of some times is enough: what else runs on this machine can only make it slower."""
    took = [FIRST_PAINT_MS * 1000]
    while min(took) >= FIRST_PAINT_MS and len(took) <= TRIES:
        tab.open(service.url + paths[name], "Wherry")
        tab.wait("performance.getEntriesByName('first-contentful-paint').length > 0", "it is painted")
        took.append(tab.run("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert min(took) < FIRST_PAINT_MS, took


def test_what_happens_is_shown_within_a_second(service: Running, tab: Tab) -> None:
    tab.open(service.url + "/environments", "research")
    transport = service.transport()
    began = time.monotonic()
    transport.call("Environments.Create", EnvironmentCreateRequest(name="new-one"))
    tab.wait("document.querySelector('#tables').innerText.includes('new-one')", "the page shows it", 5)
    assert time.monotonic() - began < 1.5
    tab.open(service.url + "/", "census")
    transport.call(
        "Apps.Open", AppOpenRequest(name="fresh", environment="main", client_id="cl-" + "0" * 26, detach=True)
    )
    tab.wait("document.querySelector('#apps').innerText.includes('fresh')", "the page shows it", 5)
    transport.close()
    assert tab.complaints == []


def test_focus_stays_where_it_is_while_a_page_changes(service: Running, tab: Tab) -> None:
    tab.open(service.url + "/tokens", "ci")
    tab.run("document.querySelector('#tables .scrolled').focus()")
    transport = service.transport()
    transport.call("Tokens.Create", TokenCreateRequest(name="another", scopes=["invoke"], environments=["main"]))
    transport.close()
    tab.wait("document.querySelector('#tables').innerText.includes('another')", "the page shows it")
    assert tab.run("document.activeElement.className") == "scrolled"


def test_a_log_is_followed_also_across_a_restart_of_the_service(service: Running, tab: Tab) -> None:
    tab.open(service.url + "/logs?app=census", "chunk 40 of 40")
    began = time.monotonic()
    service.say("a line that has just come")
    tab.wait_text("a line that has just come")
    assert time.monotonic() - began < 1.5
    service.stop()
    tab.wait_text("Trying again")
    service.start()
    # The page goes on where it was: with the end of the app, whose client has gone with the service.
    tab.wait_text("This is the end", 20)
    lines = tab.run("[...document.querySelectorAll('#log li .text')].map(one => one.innerText)")
    assert lines.count("a line that has just come") == 1


def test_filters_leave_only_what_they_say(service: Running, tab: Tab) -> None:
    tab.open(service.url + "/calls", "Earlier calls")
    tab.run("document.querySelector('[name=state]').value = 'failed'")
    tab.click(".filters button")
    tab.wait("location.search.includes('state=failed')", "the filter is asked for")
    tab.wait_text("Retries")
    assert set(tab.run("[...document.querySelectorAll('#rows .state')].map(one => one.innerText)")) == {"failed"}


def test_the_theme_is_chosen_and_kept(service: Running, tab: Tab) -> None:
    tab.open(service.url + "/", "Home")
    light = tab.run("getComputedStyle(document.body.parentElement).backgroundColor")
    tab.click("#theme")
    assert tab.run("getComputedStyle(document.body.parentElement).backgroundColor") != light
    tab.open(service.url + "/apps", "Apps")
    assert tab.run("document.documentElement.dataset.theme") == "dark"
    tab.click("#theme")


def test_a_link_is_good_once(service: Running) -> None:
    url = service.link().url
    with chromium() as found:
        tab = found.tab()
        tab.open(url)
        tab.wait("location.pathname === '/'", "one is signed in")
        tab.open(url, "used already")
        assert tab.complaints == [
            f"Failed to load resource: the server responded with a status of 403 (Forbidden) ({url})"
        ]


def test_an_apps_page_at_a_sibling_name_gets_nothing(service: Running, tab: Tab) -> None:
    """A page of another origin in the same browser, which is signed in."""
    tab.open(f"http://wherry--evil.localhost:{service.port}/")
    assert tab.run("document.cookie") == ""
    for how in ("{credentials: 'include'}", "{credentials: 'include', mode: 'no-cors'}"):
        got = tab.run(f"fetch('{service.url}/apps', {how}).then(r => r.text()).catch(e => 'refused')")
        assert got in ("refused", "")
    got = tab.run(
        f"fetch('{service.url}/logout', {{method: 'POST', credentials: 'include', body: new URLSearchParams()}})"
        ".then(r => r.status).catch(e => 'refused')"
    )
    assert got == "refused"
    framed = f"""new Promise(done => {{
        const frame = document.createElement('iframe');
        frame.onload = () => {{ try {{ done(frame.contentDocument.body.innerText) }} catch {{ done('refused') }} }};
        frame.src = '{service.url}/apps';
        document.body.append(frame);
    }})"""
    assert tab.run(framed) in ("refused", "")
    tab.open(service.url + "/apps", "census")


def test_by_keyboard_alone(service: Running, tab: Tab) -> None:
    tab.open(service.url + "/", "Home")

    def press(key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            tab.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    press("Tab", 9)
    assert tab.run("document.activeElement.innerText") == "Skip to the content"
    for _ in range(30):
        if tab.run("document.activeElement.innerText") == "Calls":
            break
        press("Tab", 9)
    outline = tab.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    tab.ask("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    tab.wait("location.pathname === '/calls'", "the page of calls is open")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cross-Origin-Opener-Policy": "same-origin"},
        {"Cross-Origin-Opener-Policy": "same-origin-allow-popups"},
        {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"},
    ],
)
def test_an_apps_page_at_the_same_address_gets_nothing_of_a_window_it_opens(headers: dict[str, str]) -> None:
    """At an address it is of the same origin, and the dashboard is signed in there."""
    stranger = json.dumps({"content-type": "text/html", **headers})
    with running_service(WHERRY_TEST_STRANGER=stranger) as running, chromium() as found:
        tab = found.tab()
        tab.open(running.link().plain_url)
        tab.wait("location.pathname === '/.wherry/ui/'", "one is signed in")
        plain = str(tab.run("location.origin"))
        tab.open(plain + STRANGER)
        tab.wait("document.title === 'stranger'", "the app's page is open")

        def shown() -> int:
            infos = tab.ask("Target.getTargets")["result"]["targetInfos"]
            return sum(one["url"] == f"{plain}/.wherry/ui/" and "Home" in one["title"] for one in infos)

        for number, first in enumerate(("/.wherry/ui/", "about:blank", STRANGER), 1):
            tab.ask("Runtime.evaluate", expression=f"opened = window.open('{first}'); 0", userGesture=True)
            assert tab.run("opened !== null")
            if number > 1:
                tab.wait(f"opened.location.href.endsWith('{first}')", "it holds the window")
                tab.run("opened.location = '/.wherry/ui/'; 0")
            wait_until(lambda number=number: shown() == number, "the dashboard is open")
            tab.wait("opened.closed", "the page has lost the window")
            read = "(() => { try { return opened.document.documentElement.innerHTML } catch { return '' } })()"
            assert "wherry_page" not in str(tab.run(read))
        tab.close()
