/* What a small guest needs, one line each: print, end, read a parameter, declare a result, use a port.
 *
 *     #include <pvlab.h>
 *
 *     PV_RESULT uint32_t answer;                  // these bytes are compared between techniques
 *
 *     int main(void)
 *     {
 *         answer = pv_param("n", 10) * 2;         // pvlab run mine.c -p n=21
 *         pv_puts("the answer is ");
 *         pv_print_unsigned(answer);
 *         pv_puts("\n");
 *         return 0;                               // the machine switches off with this status
 *     }
 *
 * main runs in ring 0, in 32-bit protected mode with flat segments, paging off and interrupts off, on a stack of
 * 64 KiB. There is no C library; floating point goes to the x87. On s390x, see pvlab-s390x.h for what differs. */
#ifndef PVLAB_H
#define PVLAB_H

#include <stddef.h>
#include <stdint.h>

/* Put a variable where the monitor finds it when the run has ended: it enters the run's digest. */
#define PV_RESULT __attribute__((section(".pvlab.result"), used))

#ifdef __s390x__
#include <pvlab-s390x.h>
#else

/* Ports of the machine. Bochs and QEMU have the first two as well, so a guest also runs there. */
enum {
    PV_CONSOLE = 0xE9,                  /* each byte written is printed */
    PV_POWER = 0xF4,                    /* a write switches the machine off; its value is the status */
};

static inline void pv_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void pv_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void pv_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t pv_in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t pv_in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t pv_in32(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Print one character. */
static inline void pv_putc(char character) { pv_out8(PV_CONSOLE, (uint8_t)character); }

/* Switch the machine off. The loop is for a machine that has no power port. */
__attribute__((noreturn)) static inline void pv_exit(uint32_t status)
{
    pv_out32(PV_POWER, status);
    for (;;)
        __asm__ volatile("cli; hlt");
}

#endif

/* Print a text as it is: unlike C's puts, this adds no new line. */
static inline void pv_puts(const char *text)
{
    while (*text)
        pv_putc(*text++);
}

/* Print 0x and eight hexadecimal digits. */
static inline void pv_print_hex(uint32_t value)
{
    pv_puts("0x");
    for (int shift = 28; shift >= 0; shift -= 4)
        pv_putc("0123456789abcdef"[value >> shift & 15]);
}

/* Print a number in decimal. */
static inline void pv_print_unsigned(uint32_t value)
{
    char digits[11], *next = digits + sizeof digits;
    *--next = 0;
    do
        *--next = (char)('0' + value % 10);
    while (value /= 10);
    pv_puts(next);
}

/* Parameters stand on the command line as NAME=VALUE, separated by spaces (runtime/parameters.c).
 * pv_param_text gives the characters after "NAME=", which end at a space or a zero byte, or NULL when there is no
 * such parameter; pv_param_is asks whether they are exactly this text; pv_param reads a number, decimal or 0x...,
 * and gives `fallback` when there is none. */
extern const char *pv_command_line;
const char *pv_param_text(const char *name);
int pv_param_is(const char *name, const char *text);
uint32_t pv_param(const char *name, uint32_t fallback);

/* The four functions that a C compiler may call of its own accord (runtime/memory.c). */
void *memset(void *to, int byte, size_t size);
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *one, const void *other, size_t size);

#endif
