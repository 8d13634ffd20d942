"""What a trainee does inside JupyterLab, in either language of its menus."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, TimeoutError, expect

TOP_K = '''\
def top_k_accuracy(logits, y, k):
    """Share of rows whose right class is among the k largest logits."""
    best = logits.topk(k, dim=1).indices
    return (best == y.unsqueeze(1)).any(dim=1).float().mean().item()
'''
"""A right answer to part 2 of the demo's assessment: worth 3 of its 20 points."""


def wait_open(page: Page, name: str) -> None:
    """Until JupyterLab of `name` is there and answers."""
    try:
        page.wait_for_url(f"**/user/{name}/lab**", timeout=120_000)
    except TimeoutError as late:
        shown = page.locator("main, body").last.inner_text()
        raise AssertionError(f"{page.url} shows: {shown}") from late
    page.wait_for_selector("#jp-main-dock-panel", timeout=90_000)
    page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)


def warning(page: Page) -> Locator:
    """The banner about GPU time; what the instructor announces looks the same."""
    return page.locator(".dli-Warning:not([data-level=told])")


def status(page: Page) -> Locator:
    """The platform's item in the status bar."""
    return page.locator(".dli-StatusItem")


def open_notebook(page: Page, url: str, name: str, path: str) -> None:
    """Open a notebook and wait until its kernel is idle: earlier key presses may be lost."""
    page.goto(f"{url}/user/{name}/lab/tree/{path}")
    wait_open(page, name)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    # Before it was connected the kernel counts as idle, too: only the words tell.
    expect(page.locator("#jp-main-statusbar")).to_contain_text(
        re.compile(r"\| (Idle|대기)"), timeout=90_000
    )


def replace_cell(page: Page, starts_with: str, text: str) -> None:
    """Type over the code cell that holds `starts_with`, and run it."""
    cell = page.locator(".jp-Notebook .jp-CodeCell").filter(has_text=starts_with).first
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)
    _run(cell)


def run_first_cell(page: Page) -> None:
    """Run the notebook's first code cell (its imports) and wait for it."""
    _run(page.locator(".jp-Notebook .jp-CodeCell").first)


def _run(cell: Locator) -> None:
    """Press Shift+Enter in a cell until it runs, and wait for its end.

    JupyterLab drops keys in a notebook's first moments, however long those are.
    """
    prompt = cell.locator(".jp-InputPrompt")
    for _press in range(10):
        cell.locator(".cm-content").click()
        cell.page.keyboard.press("Shift+Enter")
        try:
            expect(prompt).to_have_text(re.compile(r"\[(\*|\d+)\]"), timeout=5_000)
            break
        except AssertionError:
            continue
    expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=90_000)


def submit(page: Page, words: dict[str, str]) -> str:
    """Hand in through the Course menu; the receipt's number."""
    page.keyboard.press("Control+S")
    page.get_by_role("menuitem", name=words["course"], exact=True).click()
    page.get_by_role("menuitem", name=words["submit"]).click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    receipt = page.locator(".dli-Receipt")
    expect(receipt).to_be_visible(timeout=60_000)
    return receipt.inner_text()
