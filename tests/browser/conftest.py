"""A real JupyterLab on a copy of the course, and a real browser in front of it."""
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from pvlab.course.notebooks import KERNEL

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = {
    # Cells outside the window are otherwise not in the page.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # No question about news on the first start, and nothing fetched from elsewhere.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}

# Chromium in a container or as root has no sandbox of its own; the rest keeps it from calling home.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


class Lab(NamedTuple):
    """A running JupyterLab: its folder, and its address with the token."""

    folder: Path
    address: str
    token: str


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """`pvlab lab`, started in a copy of the checkout whose lessons have no outputs, with settings of its own."""
    folder = tmp_path_factory.mktemp("course")
    for part in ("pvlab", "notebooks"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for file in (folder / "notebooks").glob("*.ipynb"):
        file.write_text(json.dumps(without_outputs(json.loads(file.read_text("utf-8")))), "utf-8")
    home = tmp_path_factory.mktemp("jupyter")
    for name, values in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    places = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
              "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
    environment = {**os.environ, **{name: str(home / place) for name, place in places.items()}}
    environment.pop("PVLAB_STATIC", None)  # here the widgets live
    server = subprocess.Popen([sys.executable, "-m", "pvlab", "lab", "0", "--", "--no-browser", "--allow-root"],
                              cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Lab(folder, *address(server))
    finally:
        server.terminate()
        server.wait()


def without_outputs(book: dict) -> dict:
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return book


def address(server: subprocess.Popen) -> tuple[str, str]:
    """The address and the token that the server announces; its later lines are read so that its pipe never fills."""
    too_late = threading.Timer(60, server.kill)
    too_late.start()
    said = []
    for line in server.stdout:
        said.append(line)
        if found := re.search(r"(http://127\.0\.0\.1:\d+)/\S*\?token=(\w+)", line):
            too_late.cancel()
            threading.Thread(target=lambda: list(server.stdout), daemon=True).start()
            return found[1], found[2]
    pytest.fail("JupyterLab did not start:\n" + "".join(said))


@pytest.fixture(scope="session")
def chromium(browser_path):
    from playwright.sync_api import sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        yield browser
        browser.close()


class Notebook:
    """A notebook that is open in JupyterLab, worked as a person would, by its menus."""

    def __init__(self, page, lab: Lab, name: str):
        self.page, self.file = page, lab.folder / "notebooks" / name
        page.goto(f"{lab.address}/lab/tree/notebooks/{name}?token={lab.token}&reset")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()

    def choose(self, menu: str, item: str) -> None:
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=item).first.click()

    def run_all(self) -> None:
        """Run every cell, and wait until each has its number."""
        self.choose("Run", "Run All Cells")
        self.page.wait_for_function(r"""() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
            .every(prompt => /^\[\d+\]:$/.test(prompt.textContent))""")

    def saved(self) -> dict:
        """The notebook as JupyterLab saves it."""
        def stores(answer) -> bool:
            return answer.request.method == "PUT" and "/api/contents/" in answer.url
        with self.page.expect_response(stores):
            self.choose("File", "Save Notebook")
        return json.loads(self.file.read_text("utf-8"))


@pytest.fixture
def open_notebook(lab, chromium):
    """open_notebook(name): a lesson; open_notebook(name, "code", …): a new notebook of these cells."""
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(60_000)

    def open_it(name: str, *cells: str) -> Notebook:
        if cells:
            book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": KERNEL}, "cells": [
                {"cell_type": "code", "id": f"cell{i}", "metadata": {}, "source": source, "outputs": [],
                 "execution_count": None} for i, source in enumerate(cells)]}
            (lab.folder / "notebooks" / name).write_text(json.dumps(book), "utf-8")
        return Notebook(context.new_page(), lab, name)
    yield open_it
    context.close()
