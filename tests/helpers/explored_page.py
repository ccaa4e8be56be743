"""Uses the page of `learnalign explore` as a person does, in a browser of `helpers.driver`."""

import time
from collections.abc import Callable
from contextlib import suppress

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement


def opened(browser: Chrome, address: str) -> Chrome:
    browser.get("about:blank")
    browser.get(address)
    until(lambda: browser.execute_script("return document.documentElement.dataset.ready"))
    return browser


def until(done: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for the page; an element that is replaced meanwhile is looked up again."""
    end = time.monotonic() + seconds
    while True:
        with suppress(StaleElementReferenceException):
            if done():
                return
        assert time.monotonic() < end, "the page did not get there"
        time.sleep(0.1)


def find(page: Chrome, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def counted(page: Chrome) -> int:
    return int(find(page, "#count").text.split()[0].replace(",", ""))


def write(page: Chrome, selector: str, text: str) -> None:
    box = find(page, selector)
    page.execute_script("arguments[0].closest('details')?.setAttribute('open', '')", box)
    box.send_keys(Keys.CONTROL, "a", Keys.NULL, text or Keys.DELETE, Keys.TAB)


def console(page: Chrome) -> list[str]:
    return [line["message"] for line in page.get_log("browser")]
