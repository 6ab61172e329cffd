"""hello, sensitive, and guests of one's own, run on the bare machine."""
import struct

import pytest

import pvlab
from pvlab.guests.catalogue import INSTRUCTIONS

# What a kernel sees that really runs in ring 0.
RING_0 = """\
sgdt limit=0x002f base=0x00103000
sidt limit=0x07ff base=0x00105000
sldt selector=0x0020
smsw word=0x0019
pushf if-after-sti=1 if-after-cli=0
popf if-after-set=1 if-after-clear=0
lar valid=1 rights=0x00c09b00
lsl valid=1 limit=0xffffffff
verr readable=1
verw writable=1
pop-es usable=1
push-cs selector=0x0008 rpl=0
push-ss selector=0x0010 rpl=0
call-far saved-cs=0x0008
call-gate saved-cs=0x0008
jmp-far arrived=1
int saved-cs=0x0008
ret-far arrived=1
str selector=0x0018
mov-from-cs selector=0x0008 rpl=0
mov-to-es usable=1
iret if=1
iret-push-cs if=1
"""


def test_hello():
    run = pvlab.Native().run(pvlab.guest("hello"))
    assert run.text == "hello, world\n" and run.outcome == "shutdown"


def test_sensitive_in_ring_0():
    run = pvlab.Native().run(pvlab.guest("sensitive"))
    assert run.text == RING_0 and run.outcome == "shutdown"


@pytest.mark.parametrize("number, name", list(enumerate(list(INSTRUCTIONS)[1:])))
def test_sensitive_one_at_a_time(number, name):
    run = pvlab.Native().run(pvlab.guest("sensitive", only=name))
    assert run.text == RING_0.splitlines(keepends=True)[number]
    assert len(run.result) == 12 * (len(INSTRUCTIONS) - 1)
    assert not any(run.result[:12 * number]) and any(run.result[12 * number:])


def test_all_that_the_header_offers(tmp_path):
    """Printing, parameters, results, the memory functions and 64-bit division, against Python's."""
    (tmp_path / "mine.c").write_text(r"""
#include <pvlab.h>
PV_RESULT struct { uint32_t answer[2]; int64_t quotients[8]; } result;
static volatile uint64_t big = 0xFEDCBA9876543210, small = 1000003;
static volatile int64_t negative = -1234567890123, thousand = 1000;
static volatile double half = 0.5;
int main(void)
{
    uint32_t *answer = result.answer;
    int64_t *quotients = result.quotients;
    answer[0] = pv_param("n", 7);
    answer[1] = pv_param("m", 7);
    quotients[0] = big / small, quotients[1] = big % small;
    quotients[2] = negative / thousand, quotients[3] = negative % thousand;
    quotients[4] = thousand / negative, quotients[5] = thousand % negative;
    quotients[6] = negative / -thousand, quotients[7] = (int64_t)(half * 9);
    char text[32] = "0123456789abcdef";
    memmove(text + 3, text, 10);
    pv_puts(text);
    memmove(text, text + 3, 10);
    pv_puts(text);
    pv_print_unsigned((uint32_t)(memcmp("abc", "abd", 3) < 0) + (memcmp("abc", "abd", 2) == 0));
    memset(text, 'x', 7);
    text[7] = 0;
    pv_puts(text);
    pv_print_hex(0xBEEF);
    pv_print_unsigned(4294967295u);
    pv_putc(' ');
    pv_print_unsigned(pv_param("hex", 0));
    pv_print_unsigned(pv_param("word", 3));
    pv_print_unsigned((uint32_t)pv_param_is("word", "fast") + (uint32_t)pv_param_is("word", "fas"));
    pv_print_unsigned(pv_param_text("nothing") == NULL);
    pv_print_unsigned(pv_in8(0x80) + pv_in16(0x80) + (pv_in32(0x80) == 0xFFFFFFFF));
    return 5;
}
""")
    run = pvlab.Native().run(pvlab.guest(tmp_path / "mine.c", n=21, hex="0x10", word="fast"))
    assert run.text == ("0120123456789def" "0123456789789def" "2" "xxxxxxx" "0x0000beef" "4294967295 "
                        "16" "3" "1" "1" f"{0xFF + 0xFFFF + 1}")
    assert (run.outcome, run.detail[-1]) == ("shutdown", "5")
    big, negative = 0xFEDCBA9876543210, 1234567890123       # C rounds towards zero, Python downwards
    assert struct.unpack("<2I8q", run.result) == (21, 7, big // 1000003, big % 1000003, -(negative // 1000),
                                                  -(negative % 1000), 0, 1000, negative // 1000, 4)


def test_dividing_by_zero_is_the_guests_affair(tmp_path):
    """Without an IDT of its own a small guest cannot handle it: the machine must say so, and neither hang nor raise."""
    (tmp_path / "mine.c").write_text("volatile unsigned long long a = 1, b;\nint main(void) { return a / b; }\n")
    assert pvlab.Native().run(pvlab.guest(tmp_path / "mine.c")).outcome == "crashed"
