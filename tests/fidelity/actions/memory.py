"""Page tables that change, pages in use, address spaces, and paging itself."""
from fidelity import world as w
from fidelity.actions.ordinary import arithmetic
from fidelity.programs import PAGING, WRITE_PROTECT, action
from machine.assembler import EAX, EBX, ECX, EDI, ESI, ESP


def _entry(p, r):
    """An entry for a window page: mostly usable, sometimes not."""
    frame = w.FRAMES + 4096 * r.randrange(64)
    flags = r.choice((7, 7, 3, 5, 1, 0, 0x67, 0x63, 6))
    high = 0x80000000 if p.pae and r.random() < 0.3 else 0
    if p.pae and r.random() < 0.05:
        high |= r.choice((1 << 20, 1 << 25, 1 << 30))                     # reserved bits
    return frame | flags, high


def _access(p, r, linear):
    code, choice = p.code, r.randrange(7)
    if choice < 2:
        p.risky("a1", linear)
    elif choice < 4:
        p.risky(r.choice(("89 1d", "01 05", "0f c1 0d", "ff 05")), linear)
    elif choice == 4:
        p.risky("89 1d", linear | 0xFFE)                                  # across the page's end
    elif choice == 5:
        with p.recovering():
            code("fc")
            code.mov(ESI, w.SCRATCH)
            code.mov(EDI, (linear & ~0xFFF) + 0xFFC - 4 * r.randrange(3))
            code.mov(ECX, r.randrange(1, 6))
            code("f3", r.choice(("a5", "a4", "ab")))                      # a string into the next page
    else:
        with p.recovering():
            code.mov(EAX, linear & ~0xFFF)
            code("c6 00 c3 ff d0")                                        # write a RET there, and call it
        code.mov(ESP, w.stack_of(p.ring))


@action(0)
def page_table_write(p, r):
    """Change an entry in one of many ways, then use the page in some ring."""
    code, page = p.code, r.randrange(w.PAGES)
    at, (low, high) = p.window_entry(page), _entry(p, r)
    choice = r.randrange(9)
    if choice == 0 and p.pae:
        code("8b 35", at, "89 f0 8b 15", at + 4)                          # cmpxchg8b from what it is
        code.mov(EBX, low)
        code.mov(ECX, high)
        code("0f c7 0d", at)
    elif choice == 1:
        code("81 25", at, ~r.choice((0x60, 0x20, 0x40, 2, 4, 1)))         # and
    elif choice == 2:
        code("81 0d", at, r.choice((7, 2, 4, 0x20)))                      # or
    elif choice == 3:
        code("0f ba", bytes([r.choice((0x2D, 0x35, 0x3D))]), at, bytes([r.choice((0, 1, 2, 5, 6))]))   # bts, btr, btc
        code("39 c0")                                                     # and defined flags
    elif choice == 4:
        code.mov(EAX, low)
        code("87 05", at)                                                 # xchg
    elif choice == 5:
        code("c6 05", at, bytes([low & 0xE7]))                            # one byte
    elif choice == 6:
        code.set(w.SCRATCH, low)
        code.set(w.SCRATCH + 4, high)
        code("fc")
        code.mov(ESI, w.SCRATCH)
        code.mov(EDI, at)
        code.mov(ECX, 2 if p.pae else 1)
        code("f3 a5")                                                     # rep movsl
    elif choice == 7:
        code.mov(ESP, at + p.tables.width)                                # push
        code("68", high, "68", low) if p.pae else code("68", low)
        code.mov(ESP, w.stack_of(0))
    else:
        code.set(at, low)
        if p.pae:
            code.set(at + 4, high)
    p.flush(w.WINDOW + page * 4096)
    if p.paging:
        p.to_ring(r.choice((0, 0, 3, 3, 1)))
        for _ in range(r.randrange(1, 4)):
            _access(p, r, w.WINDOW + page * 4096 + 4 * r.randrange(1000))


@action()
def page_access(p, r):
    if p.paging:
        large = w.LARGE + 4096 * r.randrange(500) + (0 if p.pae else 0x200000)
        _access(p, r, r.choice((w.WINDOW + 4096 * r.randrange(w.PAGES), large, 0x50000000)) + 4 * r.randrange(1000))


@action(0)
def page_on_demand(p, r):
    """A missing page that the handler maps, so that the instruction runs again."""
    if p.paging:
        page = r.randrange(w.PAGES)
        at = p.window_entry(page)
        p.code.set(at, 0)
        if p.pae:
            p.code.set(at + 4, 0)
        p.flush(w.WINDOW + page * 4096)
        p.code.set(w.DEMAND + 0x100, w.FRAMES + 4096 * r.randrange(64) | 7)
        p.code.set(w.DEMAND, at)
        p.to_ring(r.choice((0, 3)))
        p.code(r.choice(("a1", "89 1d", "ff 05")), w.WINDOW + page * 4096 + 4 * r.randrange(1000))


@action(0)
def large_page(p, r):
    """Change a directory's entry: a large page with other rights, or none."""
    if p.paging:
        base = w.FRAMES if p.pae else 0
        p.code.set(p.tables.large[p.space], base | 0x80 | r.choice((7, 7, 3, 5, 0, 1, 0x67)))
        p.code("0f 20 d8 0f 22 d8")
        p.to_ring(r.choice((0, 3)))
        for _ in range(4):                                                # in both halves of a page of 4 MiB
            _access(p, r, w.LARGE + r.choice((0x1000, 0x31000, 0x40000)) + 4 * r.randrange(900)
                    + (0 if p.pae else r.choice((0x80000, 0x280000))))


@action(0)
def address_space(p, r):
    p.space = 1 - p.space
    p.code.mov(EAX, p.tables.roots[p.space])
    p.code("0f 22 d8")


@action(0)
def write_protection(p, r):
    """CR0.WP decides whether ring 0 may write to read-only pages."""
    p.cr0 ^= WRITE_PROTECT
    p.code.mov(EAX, p.cr0 | PAGING * p.paging)
    p.code("0f 22 c0")
    page = r.randrange(w.PAGES)
    p.code("81 25", p.window_entry(page), ~2)
    p.flush(w.WINDOW + page * 4096)
    if p.paging:
        p.risky("ff 05", w.WINDOW + page * 4096 + 8)


@action(0)
def paging_off(p, r):
    """Without paging for a moment, which is also when entries can change unseen."""
    if p.paging:
        p.code.mov(EAX, p.cr0)
        p.code("0f 22 c0")
        page = r.randrange(w.PAGES)
        p.code.set(p.window_entry(page), _entry(p, r)[0])
        arithmetic(p, r)
        p.code.mov(EAX, p.cr0 | PAGING)
        p.code("0f 22 c0")
        _access(p, r, w.WINDOW + page * 4096 + 16)
