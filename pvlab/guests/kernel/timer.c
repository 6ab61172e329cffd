/* The two interrupt controllers (8259A) and the interval timer (8254). */
#include "ops.h"

#define MASTER          0x20            /* ports of the two controllers: command, and data one higher */
#define SLAVE           0xA0
#define PIT_COUNTER     0x40
#define PIT_MODE        0x43
#define PIT_HZ          1193182         /* what the timer counts, each second */
#define TICKS_HZ        10000           /* fast for a kernel: it keeps a run of twenty ticks short */

volatile uint32_t ticks;
static uint32_t last_tick;              /* the tick with which the workload ends, or 0 */

/* Move the controllers' lines to vectors 0x20-0x2F, away from the exceptions, and keep them all off. */
void interrupts_init(void)
{
    out8(MASTER, 0x11);                 /* begin: four words follow in all */
    out8(SLAVE, 0x11);
    out8(MASTER + 1, TIMER);            /* first vector */
    out8(SLAVE + 1, TIMER + 8);
    out8(MASTER + 1, 4);                /* the slave is at line 2 */
    out8(SLAVE + 1, 2);
    out8(MASTER + 1, 1);                /* 8086 mode */
    out8(SLAVE + 1, 1);
    out8(MASTER + 1, 0xFF);             /* all lines off */
    out8(SLAVE + 1, 0xFF);
}

/* Let the timer tick. With `last` other than zero, the workload is done with that tick. */
void timer_start(uint32_t last)
{
    last_tick = last;
    out8(PIT_MODE, 0x34);               /* counter 0, both bytes, mode 2: a pulse each time it reaches zero */
    out8(PIT_COUNTER, PIT_HZ / TICKS_HZ & 0xFF);
    out8(PIT_COUNTER, PIT_HZ / TICKS_HZ >> 8);
    out8(MASTER + 1, 0xFE);             /* line 0 on */
}

void timer_tick(void)
{
    ticks++;
    out8(MASTER, 0x20);                 /* end of interrupt: the controller may send the next */
    if (ticks == last_tick)
        done(ticks, ticks);
}
