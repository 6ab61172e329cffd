"""The monitor: the guest's kernel runs from the translation cache, everything else as under trap-and-emulate."""
from __future__ import annotations

from pvlab.errors import PvlabError
from pvlab.machine.engine import NOWHERE, Why
from pvlab.machine.memory import Dead
from pvlab.machine.x86 import cpu as c
from pvlab.machine.x86.decode import STOP_BEFORE
from pvlab.machine.x86.faults import UD, Fault
from pvlab.machine.x86.operands import address_of
from pvlab.machine.x86.paging import Translation
from pvlab.monitors import emulate, sensitive
from pvlab.monitors.base import BUDGET
from pvlab.monitors.binary_translation import classify as k
from pvlab.monitors.binary_translation import vmem as v
from pvlab.monitors.binary_translation.adaptive import Adapter, store
from pvlab.monitors.binary_translation.cache import TranslationCache
from pvlab.monitors.binary_translation.classify import Guest
from pvlab.monitors.binary_translation.code import EXIT
from pvlab.monitors.binary_translation.explain import Explanation, explain, find_address
from pvlab.monitors.binary_translation.pages import KnownPages
from pvlab.monitors.binary_translation.space import SharedSpace
from pvlab.monitors.binary_translation.statistics import Statistics
from pvlab.monitors.binary_translation.translate import LONGEST, Unit, read_unit, revise, translate
from pvlab.monitors.trap_and_emulate import TrapAndEmulate
from pvlab.trace import Run

_BIG = 1 << 22
SMALLEST_CACHE = 4096
_TRANSLATION = 20        # what translating a unit weighs, in stops of the engine
_NEXT = "next"           # the cache was left for the unit at EIP


class BinaryTranslation(TrapAndEmulate):
    name = "binary-translation"
    description = "the kernel translated as it runs, from a translation cache in ring 1; shadow page tables"
    stop_before = STOP_BEFORE | sensitive.STOP_BEFORE

    def __init__(self, chaining: bool = True, adaptive: bool = True, in_cache: bool = True, cache_size: int = 1 << 20):
        """chaining: patch direct branches. adaptive: retranslate what traps often. in_cache: emulate cheap instructions
        in the cache; otherwise each is a callout. cache_size: bytes, from 4 KiB to 2 MiB.
        """
        if not SMALLEST_CACHE <= cache_size <= v.CACHE_SIZE:
            raise PvlabError(f"a translation cache of {cache_size} bytes: it may have from {SMALLEST_CACHE} to "
                             f"{v.CACHE_SIZE}")
        super().__init__()
        self.chaining, self.adaptive, self.in_cache, self.cache_size = chaining, adaptive, in_cache, cache_size

    def explain(self, guest, address: int | str | None = None, budget: int = BUDGET) -> Explanation:
        """Run the guest, and show the unit that has the instruction at this address or symbol beside its translation.

        None: the unit that the guest began with. Raises PvlabError where nothing was translated.
        """
        address = find_address(guest, address)      # a wrong one is refused before the run
        self.run(guest, budget)
        return explain(self, guest, address)

    def _run(self, *how) -> Run:
        run = super()._run(*how)
        tally = self.machine.state.tally
        self.statistics.looked_up, self.statistics.emulated = tally >> 32, tally & 0xFFFFFFFF
        return run

    def start(self) -> None:
        self.statistics = Statistics()
        self.memory = v.VirtualMemory(self.machine.engine)
        self.cache = TranslationCache(self.memory, self.cache_size, self.chaining, self.statistics)
        self.pages = self.adapter = None
        super().start()
        self.adapter = Adapter(self.vcpu, self.shadow, self.memory.ram, self.statistics)
        self.pages = KnownPages(self.vcpu, self.shadow, self._drop_page, self.adapter.revoke, fetch=True)
        self.adapter.elsewhere = self.pages.depends_on
        self._left: Fault | Guest | str | None = None    # why the cache was left: a fetch that faults, a callout, _NEXT
        self._seen: set[int] = set()                     # addresses that have been translated
        self._by_frame: dict[int, set[int]] = {}         # guest frame -> pages that lead there, of what is in the cache
        self.machine.describe_cached = lambda address, size: self.cache.describe(address, address + size)

    def make_shadow(self) -> SharedSpace:
        return SharedSpace(self.machine, v.entries(), self)

    # ------------------------------------------------------------------------------------------- what the shadows tell
    def entries_changed(self, frame: int, first: int, last: int) -> None:
        self.pages.entries_changed(frame, first, last)
        self.adapter.pages.entries_changed(frame, first, last)

    def table_lost(self, frame: int) -> None:
        if self.pages:
            self.pages.table_lost(frame)
            self.adapter.table_lost(frame)

    def table_shared(self, frame: int) -> None:
        if self.adapter:
            self.adapter.revoke(frame)

    def forgotten(self) -> None:
        if self.pages:
            self.adapter.forget()
            self.pages.forget()

    def code_changed(self, frame: int, first: int, last: int) -> None:
        for page in list(self._by_frame.get(frame, ())):
            begin, end = page << 12 | first, page << 12 | last
            for unit in self.cache.in_page(page):
                if unit.address <= end and unit.end > begin:
                    self._drop(unit)

    def _drop(self, unit: Unit) -> None:
        self.statistics.dropped += 1
        self.cache.drop(unit)
        for page in range(unit.address >> 12, (unit.end - 1 >> 12) + 1):
            if not self.cache.in_page(page):
                self._release(page)

    def _drop_page(self, page: int) -> None:
        for unit in self.cache.in_page(page):
            self._drop(unit)

    def _release(self, page: int) -> None:
        """No unit has a byte in this page any more."""
        frame = self.pages.frames.pop(page, None)
        if frame is not None:
            self._by_frame[frame].discard(page)
            if not self._by_frame[frame]:
                del self._by_frame[frame]
                self.shadow.unprotect(frame)

    # -------------------------------------------------------------------------------------- in and out of the cache
    def enter(self, until: int) -> Why:
        machine = self.machine
        self._left = None
        if self.shadow.in_the_way and self.shadow.settle():
            self._move()
        if not self._translates():
            return machine.enter(until)
        try:
            unit = self._unit()
        except Fault as fault:              # the guest's code cannot be fetched
            self._left = fault
            return Why.EXCEPTION
        self._into_cache(unit)
        why = machine.enter(until)
        self._out_of_cache(why)
        return why

    def _unit(self) -> Unit:
        """The translation of the code at EIP, when all that is in the cache is true. Raises Fault and Dead."""
        while True:
            self.pages.follow()
            self.adapter.pages.follow()
            unit = self.cache.units.get(self.machine.eip) or self._translation_of(self.machine.eip)
            if self.pages.are_true:                 # making room for shadow tables may have dropped others
                return unit

    def _move(self) -> None:
        """The monitor's memory stands at another place from now on."""
        state, base = self.machine.state, self.shadow.base
        state.cache_begin, state.cache_size = (base + v.CACHE, v.CACHE_SIZE) if base is not None else (0, 0)
        self._empty(base or 0)

    def _empty(self, base: int | None = None) -> None:
        """Forget all translations, because the cache is full or moves."""
        for page in self.cache.pages():
            self._release(page)
        self.cache.flush(base)

    def _translates(self) -> bool:
        """Whether the guest's code can run from the cache now. What emitted code takes for granted is a flat address
        space and a 32-bit stack; and single steps are the guest's own."""
        env = self.machine.cpu.env
        cs, ss = env.segs[c.CS], env.segs[c.SS]
        return (self.shadow.base is not None and self.vcpu.cpl == 0 and bool(cs.flags & ss.flags & _BIG)
                and cs.base == ss.base == env.segs[c.DS].base == 0 and not env.eflags & (c.TF | c.VM))

    def _into_cache(self, unit: Unit) -> None:
        machine, cache = self.machine, self.cache
        self.memory.store(self.vcpu, self.board.interrupt_pending())
        if cache.changed:
            engine = machine.engine
            engine.restore()
            for begin, end in cache.changed:
                engine.forget_code(begin, end)
            cache.changed.clear()
        if machine.state.repeat == machine.eip:
            machine.state.repeat = unit.at
        machine.eip = unit.at

    def _out_of_cache(self, why: Why) -> None:
        """Back to the guest's own state: its EIP and registers, and the virtual CPU's IF."""
        machine, at = self.machine, self.machine.eip
        self.memory.load(self.vcpu)
        if self.memory.ram.u32(v.STALE):                # page tables were written in the cache
            self.memory.ram.set_u32(v.STALE, 0)
            self.vcpu.mappings_changed()
            machine.engine.flush_tlb()
        if why is Why.EXCEPTION and machine.cpu.was_int and self._take_exit(at):
            return
        unit, site = self.cache.find(at), self.cache.site(at + len(EXIT))
        if unit is None and site is not None:           # before an exit, at the end of a branch
            machine.eip = site.target
            return
        if unit is None:
            raise Dead(f"the translation cache was left at {at:#010x}, where no code is: the guest has damaged the "
                       "monitor's memory")
        if machine.state.repeat != NOWHERE:
            repeat, holder = machine.state.repeat, self.cache.find(machine.state.repeat)
            machine.state.repeat = holder.place(repeat - holder.at) if holder else NOWHERE
        offset = at - unit.at
        machine.eip = unit.place(offset)
        for register in unit.saved(offset):
            machine.regs[register] = self.memory.ram.u32(v.SAVED[register])
        if why is not Why.DEADLINE:
            self._take_back_tally(at)
            if unit.follows_sti(machine.eip):
                self.vcpu.interrupt_shadow = True

    def _take_back_tally(self, at: int) -> None:
        """A block that was left in the middle has added all of itself to the tally."""
        state = self.machine.state
        if state.current < len(state.table):
            block = state.table[state.current]
            state.tally -= self.cache.describe(at, block.address + block.size)[3]

    def _take_exit(self, behind: int) -> bool:
        """The cache was left by an INT n, which ends at `behind`: an EXIT, or one that nobody emitted."""
        machine, cache = self.machine, self.cache
        site, unit = cache.site(behind), cache.find(behind - 1)
        if behind == cache.behind_miss:
            machine.eip = self.memory.ram.u32(v.TARGET)
            self.statistics.missed += 1
            if machine.eip in cache.units:
                cache.enter_in_table(cache.units[machine.eip])
        elif site is not None:
            machine.eip = site.target
        elif unit is not None and behind - unit.at in unit.notes.callouts:
            guest = unit.guest[unit.notes.callouts[behind - unit.at]]
            machine.eip = guest.address
            self._left = guest
            return True
        else:
            return False
        self._left = _NEXT
        return True

    # ------------------------------------------------------------------------------------------- translating
    def _translation_of(self, address: int) -> Unit:
        """Translate the unit at a guest address. Raises the Fault that fetching it raises, and Dead."""
        guest, frames = self._fetch(address)
        cache = self.cache
        unit = translate(guest, cache.next_for(address), cache.base, cache.miss, cache.exits)
        if not cache.has_room(unit):
            self.statistics.flushes += 1
            self._empty()
            unit = translate(guest, cache.next_for(address), cache.base, cache.miss, cache.exits)
        for page, frame in frames.items():
            self.pages.frames[page] = frame
            self._by_frame.setdefault(frame, set()).add(page)
            self.adapter.revoke(frame)
            self.shadow.protect(frame)
        self.cache.add(unit)
        self.statistics.count(unit, address in self._seen)
        self._seen.add(address)
        self._visits += _TRANSLATION
        self.leave("translate", guest[0].text)
        return unit

    def _fetch(self, address: int) -> tuple[tuple[Guest, ...], dict[int, int]]:
        """The guest instructions of a unit, and the frames of the pages that they are in."""
        pages, ram = self.pages, self.machine.ram
        frame = pages.frame(address)
        frames, room = {address >> 12: frame}, 4096 - (address & 4095)
        code = ram.read((frame << 12) + (address & 4095), min(room, 15 * (LONGEST + 1)))
        guest = read_unit(code, address)
        if guest[0].kind == k.INVALID and room < 15:        # perhaps the next page has the rest of it
            after = (address | 4095) + 1 & 0xFFFFFFFF
            frames[after >> 12] = pages.frame(after)
            guest = read_unit(code + ram.read(frames[after >> 12] << 12, 15), address)
            if guest[0].end <= after:
                del frames[after >> 12]
        return revise(guest, self._kind_of), frames

    def _kind_of(self, guest: Guest) -> str:
        kind = self.adapter.kind_of(guest)
        return k.CALLOUT if kind in k.IN_CACHE and not self.in_cache else kind

    # ------------------------------------------------------------------------------------------- stops
    def dispatch(self, why: Why) -> None:
        left, self._left = self._left, None
        if left is None:
            super().dispatch(why)
            return
        self._visits += 1
        if isinstance(left, Fault):
            self.on_fault(left.vector, left.code, left.address)
        elif left is not _NEXT:
            self._callout(left)
        elif self.machine.eip in self.cache.units:
            self.leave("dispatch", self.text())           # otherwise the exit is the translation's

    def _callout(self, guest: Guest) -> None:
        """An instruction that is done by the monitor."""
        instruction = self.vcpu.instruction()
        if guest.kind == k.INVALID or instruction is None:
            self.on_fault(UD, 0, 0)
            return
        found = emulate.find(instruction) or sensitive.find(instruction)
        if guest.kind in (k.STORE, k.WRITE_CALLOUT):
            self._store(guest, instruction)
        elif found:
            self.emulate(instruction, *found)
        elif instruction.mnemonic.rstrip("bwd") in ("in", "ins", "out", "outs"):
            self.on_point()
        elif instruction.mnemonic in ("int", "int3"):
            self.machine.retire(instruction.size)
            self.on_int(instruction.operands[0].value if instruction.operands else 3)
        else:
            self._alone(instruction)

    def _store(self, guest: Guest, instruction) -> None:
        """A store that often hits a page table, without a trap."""
        adapter, address = self.adapter, address_of(self.vcpu, instruction.operands[0].value)
        try:
            physical = self.vcpu.physical(address, True, False)
        except Fault:
            physical = 0                                  # the callout will see it, too
        if physical >= self.machine.ram.size:
            self.device_memory(physical)
            return
        watched = self.shadow.traces(physical)
        self.emulate(instruction, "write-callout", store)
        if not watched and adapter.wasted(guest) or self.in_cache and adapter.called(guest):
            self._translate_anew(guest.address)
        elif watched and guest.kind == k.STORE:
            adapter.open(address)

    def _translate_anew(self, address: int) -> None:
        """Drop the units that hold the instruction at this address."""
        for unit in self.cache.in_page(address >> 12):
            if any(guest.address == address for guest in unit.guest):
                self.cache.drop(unit)

    def _alone(self, instruction) -> None:
        """Run one instruction as it stands in the guest's memory: for what is too rare to be worth a translation."""
        self.leave("step", instruction.text)
        flags = self.vcpu.eflags
        self.machine.state.pass_ = self.machine.linear_eip      # if it was to be stopped before, it was
        why = self.step()
        if self.stepped(why):
            self.end_of_step(flags)
        else:
            self.dispatch(why)

    def on_special(self, instruction) -> bool:
        """What is sensitive and does not trap, in code that runs as it is."""
        vcpu, found = self.vcpu, sensitive.find(instruction)
        if found is None:
            return super().on_special(instruction)
        if vcpu.cpl and found[0] == "mov-from-cs" or (
                vcpu.cpl == 3 and found[0] in ("pushf", "popf") and vcpu.interrupts and not vcpu.iopl):
            return False                  # the real CPU has the right answer
        self.emulate(instruction, *found)
        return True

    # ------------------------------------------------------------------------------------------- memory
    def reason_of_write(self, found: Translation) -> str:
        return "code-write" if self.shadow.is_protected(found.physical) else "page-table-write"

    def write_through(self, address: int, found: Translation) -> None:
        """What the real CPU would do in another way cannot be stepped: it is emulated."""
        instruction = self.vcpu.instruction()
        handler = instruction and (emulate.find(instruction) or sensitive.find(instruction))
        if handler:
            self.perform(instruction, *handler)
            return
        at, translated = self.machine.eip, self._translates()
        super().write_through(address, found)
        if self.adaptive and translated and self.adapter.trapped(at, instruction.code):
            self._translate_anew(at)

