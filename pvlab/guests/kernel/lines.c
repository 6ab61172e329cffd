/* Interrupt lines: which handler belongs to which, and the two controllers that they go through. */
#include "ops.h"
#include "drivers.h"

#define MASTER          0x20            /* ports, as in timer.c */
#define SLAVE           0xA0
#define END             0x20            /* the command "end of interrupt" */

static void (*handlers[16])(void);
static uint32_t off = 0xFFFF;           /* the lines that are masked */

/* Turn a line on. Those above 7 come through the master's line 2. */
void line_on(uint32_t line, void (*handler)(void))
{
    handlers[line] = handler;
    off &= ~(1u << line);
    if (line > 7)
        off &= ~(1u << 2);
    out8(MASTER + 1, (uint8_t)off);
    out8(SLAVE + 1, (uint8_t)(off >> 8));
}

/* An interrupt has come by this line; 0 if nobody waits for it. */
int line_interrupt(uint32_t line)
{
    if (!handlers[line])
        return 0;
    handlers[line]();
    if (line > 7)
        out8(SLAVE, END);
    out8(MASTER, END);
    return 1;
}
