"""What all tests share: the parts of the suite, the flags for more of it, and what the run says at its end."""
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

os.environ["PVLAB_STATIC"] = "1"  # widgets show their static form, here and in every kernel that a test starts
OWN = TemporaryDirectory()
os.environ["PVLAB_PROGRESS"] = f"{OWN.name}/progress.json"  # no test touches the progress of whoever runs it

ROOT = Path(__file__).resolve().parent.parent

# The folder that a test is in names its part of the suite; what is in none of these folders is a unit test.
PARTS = ("fidelity", "notebooks", "browser")


def pytest_addoption(parser):
    parser.addoption("--programs", type=int, default=500, metavar="N", help="random programs to run (500)")
    parser.addoption("--hostile", type=int, default=2000, metavar="N", help="hostile guests to survive (2000)")


def pytest_configure():
    browser()  # a PVLAB_BROWSER that is not there ends the run here, before any test


@pytest.fixture(scope="session")
def programs(request) -> int:
    """How many random programs to run under every technique."""
    return request.config.getoption("--programs")


@pytest.fixture(scope="session")
def hostile(request) -> int:
    """How many guests to run that are made to hurt."""
    return request.config.getoption("--hostile")


@pytest.fixture
def tell(record_property):
    """tell(line): a line that the test run prints at its end, whichever process the test ran in."""
    return lambda line: record_property("tell", str(line))


def pytest_collection_modifyitems(config, items):
    for item in items:
        folders = item.path.parent.relative_to(ROOT).parts if item.path.is_relative_to(ROOT) else ()
        item.add_marker(next((part for part in PARTS if part in folders[:2]), "unit"))
    if browser() is None:
        unwanted = [item for item in items if item.get_closest_marker("browser")]
        config.hook.pytest_deselected(items=unwanted)
        items[:] = [item for item in items if item not in unwanted]


def pytest_terminal_summary(terminalreporter, config):
    reports = [report for kind in ("passed", "failed", "error", "skipped")
               for report in terminalreporter.getreports(kind) if isinstance(report, pytest.TestReport)]
    for report in reports:
        for name, line in report.user_properties:
            if name == "tell" and report.when == "call":
                terminalreporter.write_line(line)
    if not hasattr(config, "workerinput"):
        ran = {part: len({report.nodeid for report in reports if part in report.keywords})
               for part in ("unit", *PARTS)}
        terminalreporter.write_line("covered: " + ", ".join(f"{count} {part}" for part, count in ran.items()))
        if browser() is None:
            terminalreporter.write_line("The browser tests were left out: no Chromium or Chrome was found. "
                                        "Name one with PVLAB_BROWSER=/path/to/it")


def browser() -> str | None:
    """The Chromium or Chrome that the browser tests drive: PVLAB_BROWSER, or one that is found."""
    from shutil import which
    named = os.environ.get("PVLAB_BROWSER")
    if named:
        found = which(named)
        if found is None:
            raise pytest.UsageError(f"PVLAB_BROWSER={named} is not a program")
        return found
    apps = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge",
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
            "/Applications/Chromium.app/Contents/MacOS/Chromium")
    return next((path for path in map(which, apps) if path), None)


@pytest.fixture(scope="session")
def browser_path() -> str:
    return browser()
