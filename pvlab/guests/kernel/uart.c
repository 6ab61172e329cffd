/* The PC's first serial port, a 16550: each byte waits until the one before it has left. */
#include "ops.h"
#include "drivers.h"

enum { DATA = 0x3F8, INTERRUPTS, FIFO, LINE_CONTROL, MODEM_CONTROL, LINE_STATUS };     /* ports */
#define EMPTY           0x20            /* line status: the next byte may come */

static int open(void)
{
    if (in8(LINE_STATUS) == 0xFF)       /* nobody is there */
        return 0;
    out8(INTERRUPTS, 0);
    out8(LINE_CONTROL, 0x80);           /* the divisor stands at the first two ports for a moment */
    out8(DATA, 1);                      /* 115,200 baud */
    out8(INTERRUPTS, 0);
    out8(LINE_CONTROL, 3);              /* 8 bits, no parity, one stop bit */
    out8(FIFO, 1);
    out8(MODEM_CONTROL, 3);             /* ready */
    return 1;
}

static void write(const char *bytes, uint32_t size)
{
    for (; size; size--) {
        while (!(in8(LINE_STATUS) & EMPTY))
            ;
        out8(DATA, (uint8_t)*bytes++);
    }
}

const struct console uart = { "uart", open, write };
