"""The storefront in headless Chromium, as a customer on a desktop and on a phone meets it, with scripts and without: no message on
the console, nothing wider than the window. Pictures of what was seen are left in BUILD/browser."""
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

from test_storefront import FOLDER, opened

try:
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.expected_conditions import staleness_of
    from selenium.webdriver.support.wait import WebDriverWait
    MISSING = None if os.path.exists("/usr/bin/chromedriver") else "no chromedriver"
except ImportError as error:
    MISSING = error

PICTURES = os.path.join(os.environ["REC_BUILD"], "browser")


class Shop:
    """gunicorn over a shop of its own, and a browser."""

    def __init__(self, folder, width, height, scripts=True):
        if MISSING:
            raise unittest.SkipTest(f"Chromium is needed: ext/tools/deps.sh packages browser ({MISSING})")
        opened(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.server = subprocess.Popen([sys.executable, "-m", "gunicorn", "--chdir", FOLDER, "--config", os.path.join(FOLDER, "gunicorn.conf.py"), "--bind", self.url[7:], "app:app"],
                                       stderr=subprocess.DEVNULL, start_new_session=True)
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={width},{height}", "--hide-scrollbars"):
            options.add_argument(argument)
        if width < 600:
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2}})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        try:
            self.wait_for_the_server()
            self.browser = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        except WebDriverException as error:  # in a root without /dev/shm, say
            self.end_the_server()
            raise unittest.SkipTest(f"Chromium does not start here: {error.msg}")
        except BaseException:
            self.end_the_server()
            raise
        self.browser.implicitly_wait(3)
        self.width, self.scripts = width, scripts

    def wait_for_the_server(self):
        for _ in range(200):
            try:
                urllib.request.urlopen(self.url + "/health").read()
                return
            except OSError:
                assert self.server.poll() is None, "gunicorn has ended"
                time.sleep(.1)
        raise AssertionError("no page after twenty seconds")

    def end_the_server(self):
        os.killpg(self.server.pid, signal.SIGTERM)
        self.server.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.browser.quit()
        self.end_the_server()

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def follow(self, selector):
        """A click that leads to another page: where touches are emulated, it comes a moment later."""
        before = self.one("html")
        self.one(selector).click()
        WebDriverWait(self.browser, 10).until(staleness_of(before))

    def open(self, path):
        self.browser.get(self.url + path)

    def seen(self, name):
        """Asserts what must hold of every page, and takes its picture."""
        said = [entry["message"] for entry in self.browser.get_log("browser")]
        assert not said, (name, said)
        if self.scripts:
            wide = self.browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= self.width, (name, wide)
            small = self.browser.execute_script("""return [...document.querySelectorAll('button, .card a, nav a, input:not([type=hidden])')]
                .filter(e => e.offsetParent && e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 80))""")
            assert not small, (name, small)  # WCAG 2.2, 2.5.8: what is tapped is at least 24 CSS pixels high
            broken = self.browser.execute_script("return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
            assert not broken, (name, broken)
        os.makedirs(PICTURES, exist_ok=True)
        self.browser.save_screenshot(os.path.join(PICTURES, f"{name}-{self.width}{'' if self.scripts else '-plain'}.png"))


def scenarios(shop):
    return [section.get_attribute("data-scenario") for section in shop.all("section.shelf")]


def walk(shop):
    """A guest looks, searches, buys; what she did is felt at the next page."""
    shop.open("/")
    assert "because" not in scenarios(shop) and len(shop.all(".card")) >= 16
    shop.seen("home")
    shop.follow(".card a")
    looked_at = shop.one("h1").text
    assert "/product/" in shop.browser.current_url and looked_at and scenarios(shop)
    shop.seen("product")
    shop.follow("button.buy")
    assert looked_at in shop.one("table.lines").text and shop.one("a.cart b").text == "1"
    shop.seen("cart")
    shop.one("input[type=search]").send_keys("red lantern")
    shop.follow("form.search button")
    assert "lantern" in shop.one("main").text.lower() and len(shop.all(".card")) > 3
    shop.seen("search")
    shop.open("/cart")
    shop.follow("main form button.buy")
    assert "Thank you" in shop.one("h1").text and shop.one("a.cart b").text == "0"
    shop.seen("thanks")
    shop.open("/")
    assert looked_at in shop.one("main").text and any("because" in word.lower() for word in (h.text for h in shop.all("h2"))), shop.one("main").text
    shop.seen("home-again")
    shop.open("/dashboard")
    assert shop.all("svg.chart") and "For you" in shop.one("h1 + .panels h2").text, shop.one("main").text
    shop.seen("dashboard")
    shop.open("/sign-in")
    shop.seen("sign-in")


def test_browser_on_a_desktop(folder):
    with Shop(folder, 1280, 1400) as shop:
        walk(shop)
        shop.open("/product/nothing")
        assert "not found" in shop.one("h1").text.lower() and scenarios(shop) == ["trending"], shop.one("main").text
        said = [entry["message"] for entry in shop.browser.get_log("browser")]
        assert len(said) == 1 and "404" in said[0], said


def test_browser_on_a_phone(folder):
    with Shop(folder, 390, 1400) as shop:
        walk(shop)


def test_browser_without_scripts(folder):
    with Shop(folder, 1280, 1400, scripts=False) as shop:
        walk(shop)
        assert not re.search(r"<script", shop.browser.page_source)
