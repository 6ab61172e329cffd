"""The ring viewer: what it reads out of memory, what it draws and says, and how its widget steps."""
import struct

import pytest

import pvlab
from pvlab.figures import rings
from pvlab.devices.backends.disk import patterned
from pvlab.devices.virtio import block as blk
from pvlab.devices.virtio.block import VirtioBlock
from pvlab.devices.virtio.mmio import VERSION_1
from pvlab.devices.virtio.queue import EVENT_IDX, INDIRECT_DESC
from pvlab.devices.virtio.rings import OFFERED, RETURNED, UNUSED, decode_ring, ring_of
from pvlab.errors import PvlabError
from tests.devices.virtio.bench import Bare, BlockDriver


def started(features=VERSION_1 | EVENT_IDX | INDIRECT_DESC, size=8):
    machine = Bare()
    device = VirtioBlock(patterned(64), machine, machine.line)
    driver = BlockDriver(device, machine)
    driver.start(2, features, (size,))
    return device, driver


@pytest.fixture
def steps():
    """One request after another, seen at each step."""
    device, driver = started()
    queue, seen = driver.queues[0], []
    driver.do(blk.IN, 1, 512)
    parts = [(driver.allocate(16), 16, False), (driver.allocate(512), 512, True), (driver.allocate(1), 1, True)]
    head = queue.describe(parts)
    seen.append(("described", ring_of(device)))
    queue.offer(head)
    seen.append(("in a slot", ring_of(device)))
    queue.publish()
    seen.append(("the index goes up", ring_of(device)))
    queue.kick()
    seen.append(("kicked", ring_of(device)))
    return seen


def test_each_step_changes_what_it_changes(steps):
    described, slotted, published, kicked = [state for _, state in steps]
    assert [d.state for d in described.descriptors] == [RETURNED] * 3 + [UNUSED] * 5
    assert [each.length for each in described.chain(3)] == [16, 512, 1]
    assert [each.role for each in described.chain(3)] == ["device reads", "device writes", "device writes"]
    assert (described.heads[1], slotted.heads[1], slotted.available_index, published.available_index) == (0, 3, 1, 2)
    assert published.waiting == 1 and [d.state for d in published.descriptors][3:6] == [OFFERED] * 3
    assert (kicked.used_index, kicked.returned[1], kicked.waiting) == (2, (3, 513), 0)
    assert [d.state for d in kicked.descriptors] == [UNUSED] * 3 + [RETURNED] * 3 + [UNUSED] * 2
    assert (published.avail_event, kicked.avail_event, kicked.used_event) == (1, 2, 0)


def test_flags_without_event_index():
    device, driver = started(VERSION_1)
    driver.queues[0].interrupt_after(None)
    state = ring_of(device)
    assert (state.no_interrupt, state.no_notify, state.used_event, state.avail_event) == (True, False, None, None)
    assert "the driver wants no interrupt" in rings.told(state)
    assert "no interrupt" in rings.table(state).text()


def test_an_indirect_table_is_opened():
    device, driver = started()
    driver.queues[0].offer(driver.queues[0].describe([(0x8000, 16, False), (0x8100, 513, True)], indirect=True))
    driver.queues[0].publish()
    first = ring_of(device).descriptors[0]
    assert first.role == "table" and [each.length for each in first.indirect] == [16, 513]
    assert "its entry 1" in rings.table(ring_of(device)).text()


def test_a_broken_ring_is_described_and_not_refused():
    device, driver = started()
    memory, queue = driver.memory, driver.queues[0]
    memory.write(queue.descriptors, struct.pack("<QIHH", 2 ** 64 - 1, 2 ** 32 - 1, 1, 0))          # a loop
    memory.write(queue.descriptors + 16, struct.pack("<QIHH", 2 ** 63, 160, 4, 0))                 # a table nowhere
    memory.write(queue.available, struct.pack("<HHHHH", 0, 700, 0, 1, 9))
    state = ring_of(device)
    assert state.waiting == 700 and len(state.chain(0)) == 8 and state.descriptors[1].indirect == ()
    rings.ring(state)
    assert "700 offered and not returned" in rings.told(state)


def test_it_needs_memory_and_three_addresses_only():
    memory = Bare(1 << 12)
    memory.write(0x100, struct.pack("<QIHH", 0x500, 60, 0, 0))
    memory.write(0x200, struct.pack("<HHHH", 1, 1, 0, 0))
    state = decode_ring(memory, 0x100, 0x200, 0x300, 2)
    assert (state.size, state.available_index, state.heads, state.descriptors[0].state) == (2, 1, (0, 0), OFFERED)
    with pytest.raises(IndexError):
        decode_ring(memory, 0x100, 0x200, 0xFFF, 2)


@pytest.mark.parametrize("size, done", [(8, 30), (64, 0), (64, 200)])
def test_the_picture_carries_the_same_as_a_table(size, done):
    device, driver = started(size=size)
    for _ in range(done):
        driver.do(blk.IN, 0, 512)
    driver.queues[0].offer(driver.queues[0].describe([(0x8000, 16, False), (0x8100, 513, True)]))
    driver.queues[0].publish()
    picture = rings.ring(ring_of(device), "a ring")
    assert picture.png.startswith(b"\x89PNG")
    shown = picture.table.text()
    assert shown.count("offered") == 3 and f"available index    {done + 1}".split()[-1] in shown
    assert len(picture.table.rows) <= 3 * 8 + 4
    assert picture.alt.startswith(f"a ring: available index {done + 1}, used index {done}; 1 offered")


def test_the_widget_shows_all_steps_where_nothing_moves(steps):
    widget = pvlab.ring_viewer(steps, "One sector")
    text = widget._repr_mimebundle_()["text/plain"]
    assert text == repr(widget) and "JupyterLab" in text
    assert all(said in text for said, _ in steps) and "interrupt after 0, kick after 2" in text
    with pytest.raises(PvlabError, match="at least one step"):
        pvlab.ring_viewer([])


def test_the_widget_steps(steps, monkeypatch):
    import IPython

    class Shell:
        kernel = object()
    monkeypatch.setattr(IPython, "get_ipython", Shell)
    monkeypatch.delenv("PVLAB_STATIC")
    monkeypatch.setattr("pvlab.figures.picture.Picture.png", b"a picture")     # what is drawn is tested above
    widget = pvlab.ring_viewer(steps)
    choice, buttons = widget.container.children[1].children
    back, forward = buttons.children
    assert choice.options[2][0] == "3. the index goes up"
    for button, step in [(back, 0), (forward, 1), (forward, 2), (back, 1), (forward, 2), (forward, 3), (forward, 3)]:
        button.click()
        assert widget.step == choice.value == widget.names[step]
    assert "513 bytes written" in widget._status.value and "<img" in widget._answer.value
    assert "application/vnd.jupyter.widget-view+json" in widget._repr_mimebundle_()


def test_what_changed_is_said_in_words(steps):
    states = [state for _, state in steps]
    assert [rings.changes(a, b) for a, b in zip(states, states[1:])] == [
        "slot 1 names descriptor 3", "the driver's index goes up to 2",
        "the device returns descriptor 3, 513 bytes written; a kick is wanted after entry 2"]
    assert rings.changes(states[0], states[0]) == ""
    device, driver = started(VERSION_1)
    before = ring_of(device)
    driver.queues[0].interrupt_after(None)
    driver.queues[0].describe([(0x8000, 1, True)])
    assert rings.changes(before, ring_of(device)) == ("descriptor 0 is written (1 byte, device writes); "
                                                      "an interrupt is not wanted")
