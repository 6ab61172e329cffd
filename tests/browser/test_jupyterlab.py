"""The course as a learner meets it: JupyterLab in a browser, cells run from the menu, widgets worked by keyboard."""
import json
from pathlib import Path

import pytest

LESSONS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

ENDLESS = r"""%%writefile endless.c
#include <pvlab.h>
int main(void) { for (;;) __asm__ volatile("" ::: "memory"); }
"""


def words(book: dict) -> list[list[str]]:
    """What each code cell shows, as text."""
    return [["".join(output.get("text", "") or output.get("data", {}).get("text/plain", ""))
             for output in cell["outputs"]] for cell in book["cells"] if cell["cell_type"] == "code"]


def said_after(page, before: str) -> str:
    """The widget's sentence, once it is another than `before` and the runs behind it are done."""
    return page.wait_for_function("""before => [...document.querySelectorAll('.jp-OutputArea [role="status"]')]
        .map(line => line.textContent).find(text => text && text !== before && !text.startsWith('Running'))""",
                                  arg=before).json_value()


@pytest.mark.parametrize("file", LESSONS, ids=lambda file: file.stem)
def test_a_lesson_shows_in_jupyterlab_what_is_stored(open_notebook, file):
    notebook = open_notebook(file.name)
    notebook.run_all()
    assert words(notebook.saved()) == words(json.loads(file.read_text("utf-8")))


def test_a_handout_shows_in_jupyterlab_what_is_stored(open_notebook):
    """An untouched one, whose checks say so. Its statements' links lead into the checkout beside it."""
    name = "exercises/ex03_where_x86_breaks.ipynb"
    notebook = open_notebook(name)
    notebook.run_all()
    stored = json.loads((LESSONS[0].parent / name).read_text("utf-8"))
    assert words(notebook.saved()) == words(stored)
    assert "not solved yet" in words(stored)[2][0]


def test_the_comparer_reacts_to_its_controls(open_notebook):
    notebook = open_notebook("comparer.ipynb", "import pvlab\npvlab.comparer(workload='syscall', n=5)")
    notebook.run_all()
    page = notebook.page
    first = said_after(page, "")
    assert first.startswith("syscall: ") and "5 times" in first
    page.get_by_label("Workload").select_option("console")
    second = said_after(page, first)
    assert second.startswith("console: ") and "5 times" in second
    page.get_by_label("Times (n)").select_option("20")
    assert "20 times" in said_after(page, second)
    pictures = page.locator(".jp-OutputArea-output img")
    assert pictures.count() > 0
    assert all(picture.get_attribute("alt") and picture.evaluate("image => image.naturalWidth")
               for picture in pictures.all())


def test_the_explorer_reacts_to_its_sliders(open_notebook):
    notebook = open_notebook("explorer.ipynb", "import pvlab\npvlab.explorer(workload='syscall', n=5)")
    notebook.run_all()
    first = said_after(notebook.page, "")
    for slider in (notebook.page.get_by_role("slider").first, notebook.page.get_by_role("slider").last):
        slider.press("ArrowRight")
        second = said_after(notebook.page, first)
        assert second != first
        first = second


def test_the_interrupt_button_stops_a_guest_and_leaves_the_kernel_usable(open_notebook):
    notebook = open_notebook("interrupt.ipynb", ENDLESS, "import pvlab\nguest = pvlab.guest('endless.c')\n"
                             "print('it runs')\npvlab.TrapAndEmulate().run(guest, budget=10**12)", "97 * 101")
    page = notebook.page
    notebook.choose("Run", "Run All Cells")
    page.get_by_text("it runs", exact=True).wait_for()
    page.get_by_role("button", name="Interrupt the kernel").click()
    page.get_by_text("KeyboardInterrupt").first.wait_for()
    page.locator(".jp-CodeCell").last.click()
    notebook.choose("Run", "Run Selected Cell")
    page.get_by_text("9797", exact=True).wait_for()


RING = """import pvlab
from pvlab.devices.backends.disk import patterned
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.driver import Driver
from pvlab.machine.memory import Ram
memory = Ram(1 << 20)
device = VirtioBlock(patterned(8), memory, lambda level: None)
driver = Driver(device, memory)
driver.start(2)
queue, steps = driver.queues[0], []
steps.append(("nothing yet", pvlab.ring_of(device)))
queue.offer(queue.describe([(0x8000, 16, False), (0x8100, 513, True)]))
queue.publish()
steps.append(("offered", pvlab.ring_of(device)))
queue.kick()
steps.append(("returned", pvlab.ring_of(device)))
pvlab.ring_viewer(steps)"""


def test_the_ring_viewer_steps(open_notebook):
    notebook = open_notebook("ring.ipynb", RING)
    notebook.run_all()
    page = notebook.page
    first = said_after(page, "")
    assert first.startswith("available index 0, used index 0")
    page.get_by_role("button", name="Next").click()
    second = said_after(page, first)
    assert second.startswith("available index 1, used index 0; 1 offered")
    page.get_by_label("Step", exact=True).select_option("3. returned")
    assert "513 bytes written" in said_after(page, second)
    page.get_by_role("button", name="Back").click()
    picture = page.locator('.jp-OutputArea-output img[alt^="2. offered"]')
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth")


def test_the_conversation_answers_what_is_typed(open_notebook):
    notebook = open_notebook("conversation.ipynb", "import pvlab\npvlab.conversation('QUERY USERID')")
    notebook.run_all()
    page = notebook.page
    first = said_after(page, "")
    assert first.startswith("Lines typed: 1.")
    page.get_by_label("CP command").fill("hello")
    page.get_by_label("CP command").press("Enter")
    assert said_after(page, first).startswith("Lines typed: 2.")
    assert page.get_by_text("DMKCFC001E ?CP: HELLO").count() == 1
