/* Text for the reader outside. */
#include <pvlab.h>
#include "ops.h"
#include "drivers.h"

/* Where programs print; the kernel itself prints on the debug port. */
void (*console_write)(const char *bytes, uint32_t size) = print_bytes;

/* Use the console that the command line names. */
void console_open(void)
{
    static const struct console *const consoles[] = { &uart, &virtio_console };
    for (uint32_t i = 0; i < sizeof consoles / sizeof *consoles; i++)
        if (pv_param_is("device", consoles[i]->name)) {
            if (!consoles[i]->open())
                panic("no such console; it is number", i);
            console_write = consoles[i]->write;
        }
}

void print_bytes(const char *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        console_put(bytes[i]);
}

void print(const char *text)
{
    while (*text)
        console_put(*text++);
}

/* Decimal, right-aligned to eight characters: so a report has the same length for every n up to there, and takes the
 * same number of port writes. */
void print_number(uint32_t number)
{
    char digits[10], *first = digits + sizeof digits;
    do
        *--first = (char)('0' + number % 10);
    while (number /= 10);
    while (first > digits + 2)
        *--first = ' ';
    print_bytes(first, (uint32_t)(digits + sizeof digits - first));
}

void print_hex(uint32_t number)
{
    print("0x");
    for (int shift = 28; shift >= 0; shift -= 4)
        console_put("0123456789abcdef"[number >> shift & 15]);
}
