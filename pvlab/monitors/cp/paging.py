"""CP's own paging: more virtual storage than frames, as under the VM/370 of every day.

The guest that runs with DAT off does not run with DAT off really: CP gives the real CPU page tables of its own, in
which a page that is not in a frame is missing. Touching one is a real page-translation exception, and CP brings the
page in, which takes virtual time. A guest that has established a handshake (DIAGNOSE X'258') is told instead, and may
do something else until the page is there: a pseudo page fault.

A guest that translates addresses itself is not paged: before it runs, all of its pages are brought in.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pvlab.errors import PvlabError
from pvlab.machine.s390x import psw
from pvlab.machine.s390x.machine import Machine
from pvlab.machine.s390x.storage import PAGE, PREFIX_AREA

LEAST = 16                       # frames: one instruction may need nine
LATENCY = 10_000_000             # virtual nanoseconds that a page-in takes: a disk of the 1970s turned once in 16.7 ms
PFAULT_BEGUN, PFAULT_DONE = 0x0600, 0x0680      # what external interruption X'2603' says at real 132
_INVALID, _SEGMENTS, _MEGABYTE = 0x400, 0x4000, 1 << 20


class Handshake(NamedTuple):
    """What DIAGNOSE X'258' established: the real address of the token, and when the PSW's mask allows the handshake."""

    token: int
    select: int
    compare: int

    def allows(self, vm) -> bool:
        """The guest can take the interruption now, and wants it in this state."""
        mask = vm.psw.mask
        return bool(mask & psw.EXTERNAL and vm.cregs[0] & 0x200 and mask & self.select == self.compare)


def room(storage: int) -> int:
    """Bytes that CP's low core and tables for so much storage take."""
    return PREFIX_AREA + _SEGMENTS + 2048 * -(-storage // _MEGABYTE) + PREFIX_AREA


class Pager:
    """Keeps at most `frames` pages of the guest in storage, first in, first out; `wait(nanoseconds)` lets time pass."""

    def __init__(self, machine: Machine, frames: int, latency: int, wait: Callable[[int], None]):
        if frames < LEAST:
            raise PvlabError(f"{frames} frames are too few for any guest: give at least {LEAST}")
        self.machine, self.frames, self.latency, self._wait = machine, frames, latency, wait
        self._ram = machine.ram
        self.resident: dict[int, None] = {}      # absolute addresses of pages, the oldest first
        self.paged_out: dict[int, bytes] = {}    # what the paging disk holds
        self.page_ins = self.page_outs = 0
        self._all_in = False
        self._prefix = 0
        self._build_tables()
        machine.ram.fetch = self.fetch

    def _build_tables(self) -> None:
        """CP's own low core, a segment table and a page table for each megabyte, all behind the guest's storage."""
        size = self._ram.size
        low = -(-size // PREFIX_AREA) * PREFIX_AREA
        segments = low + PREFIX_AREA
        self._low, self._page_tables = low, segments + _SEGMENTS
        megabytes = -(-size // _MEGABYTE)
        for i in range(_SEGMENTS // 8):
            self._store(segments + i * 8, self._page_tables + i * 2048 if i < megabytes else 0x20)
        for page in range(0, megabytes * _MEGABYTE, PAGE):
            self._store(self._page_tables + page // PAGE * 8, page | _INVALID)
        end = self._page_tables + megabytes * 2048
        self.machine.map_hidden(low, -(-end // PAGE) * PAGE)
        self.machine.host_space = segments | 3, low      # a segment table of the greatest length

    def _store(self, address: int, value: int) -> None:
        self._ram.bytes[address:address + 8] = value.to_bytes(8, "big")

    def _update(self, page: int) -> None:
        """The entry of an absolute page, missing where it has no frame. The guest's real address finds it, by the
        guest's prefix; in it stands the real address by CP's own."""
        entry = self._page_tables + swap(page, self._prefix) // PAGE * 8
        self._store(entry, swap(page, self._low) | (0 if page in self.resident else _INVALID))

    def is_out(self, page: int) -> bool:
        """On the paging disk, so that bringing it in takes time."""
        return page in self.paged_out

    def fetch(self, address: int, size: int) -> None:
        """CP itself is about to use these bytes of absolute storage."""
        if self._all_in:
            return
        for page in range(address // PAGE * PAGE, min(address + size, self._ram.size), PAGE):
            if page not in self.resident:
                if page in self.paged_out:
                    self._wait(self.latency)
                self.page_in(page)

    def page_in(self, page: int) -> None:
        """Give the page a frame, now. A page that was never out is one of zeros, and comes from nowhere."""
        if page in self.resident:
            return
        while len(self.resident) >= self.frames and not self._all_in:
            self._page_out()
        content = self.paged_out.pop(page, None)
        if content is not None:
            self.page_ins += 1
            self._ram.bytes[page:page + PAGE] = content
        self.resident[page] = None
        self._update(page)
        self.machine.flush()

    def _page_out(self) -> None:
        """The oldest page that is not low core gives up its frame, which is cleared."""
        prefix = self.machine.env.prefix
        page = next(page for page in self.resident if page not in (prefix, prefix + PAGE))
        del self.resident[page]
        self.page_outs += 1
        self.paged_out[page] = self._ram.bytes[page:page + PAGE]
        self._ram.bytes[page:page + PAGE] = bytes(PAGE)
        self._update(page)

    def release(self, page: int) -> None:
        """The guest needs the page no longer: its copy is gone, its frame is cleared and free."""
        self.paged_out.pop(page, None)
        if page in self.resident:
            del self.resident[page]
            self._update(page)
            self.machine.flush()

    def before_entry(self) -> None:
        """See to it that the tables are those of the CPU that is about to run, which has its own prefix. A guest with
        DAT on walks its own tables, and needs all of its pages."""
        prefix = self.machine.env.prefix
        if prefix != self._prefix:
            pages = [area + offset for area in (0, self._prefix, prefix) for offset in (0, PAGE)]
            self._prefix = prefix
            for page in pages:
                self._update(page)
        translating = bool(self.machine.env.psw_mask & psw.DAT)
        if translating and not self._all_in:
            self._all_in = True
            for page in list(self.paged_out):
                self.page_in(page)
        elif not translating:
            self._all_in = False


def swap(page: int, prefix: int) -> int:
    """The absolute address of a page from its real one, or the other way round."""
    return page + prefix if page < PREFIX_AREA else page - prefix if 0 <= page - prefix < PREFIX_AREA else page
