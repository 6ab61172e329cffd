/* What every s390x guest shares: its console, code page 037, waiting, and its end. */
#include <pvlab.h>

/* EBCDIC for ASCII 0 to 127; what it has no character for is a question mark, and a new line is X'15'. */
static const uint8_t ebcdic[128] = {
    0x00, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x15, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f,
    0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f, 0x6f,
    0x40, 0x5a, 0x7f, 0x7b, 0x5b, 0x6c, 0x50, 0x7d, 0x4d, 0x5d, 0x5c, 0x4e, 0x6b, 0x60, 0x4b, 0x61,
    0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0x7a, 0x5e, 0x4c, 0x7e, 0x6e, 0x6f,
    0x7c, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
    0xd7, 0xd8, 0xd9, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xba, 0xe0, 0xbb, 0xb0, 0x6d,
    0x79, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xc0, 0x4f, 0xd0, 0xa1, 0x6f,
};

void pv_to_ebcdic(uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        text[i] = ebcdic[text[i] & 127];
}

void pv_to_ascii(uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t letter = 127;
        while (letter && ebcdic[letter] != text[i])
            letter--;
        text[i] = letter;
    }
}

/* An interruption that a guest has no handler for ends it: a disabled wait, whose address says which it was. */
static void unexpected(uint64_t class, uint64_t code) { pv_exit(class << 32 | code); }

__attribute__((weak)) void pv_on_external(void)
{
    if (!pv_service_signal())
        unexpected(0xdead0, low_core()->external_code);
}

__attribute__((weak)) void pv_on_svc(void) { unexpected(0xdead1, low_core()->svc_code); }
__attribute__((weak)) void pv_on_program(void) { unexpected(0xdead2, low_core()->program_code); }
__attribute__((weak)) void pv_on_io(void) { unexpected(0xdead3, low_core()->io_subchannel); }

static void load_psw(struct psw *next) { __asm__ volatile("lpswe 0(%0)" : : "a"(next), "m"(*next)); }

void pv_wait(uint64_t kinds)
{
    struct psw next = {PSW_64BIT | PSW_WAIT | kinds, 0};
    __asm__ volatile("larl %%r1, 1f\n\tstg %%r1, 8(%0)\n\tlpswe 0(%0)\n1:" : : "a"(&next) : "1", "cc", "memory");
}

void pv_exit(uint64_t status)
{
    uint16_t own;
    pv_flush();
    __asm__ volatile("stap %0" : "=Q"(own));
    if (!status)
        __asm__ volatile("sigp %%r0, %0, 5" : : "d"((uint64_t)own) : "cc", "memory");      /* stop */
    struct psw end = {PSW_64BIT | PSW_WAIT, status};
    for (;;)
        load_psw(&end);
}
