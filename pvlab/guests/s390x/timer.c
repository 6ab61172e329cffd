/* n timer interruptions, a millisecond apart, from the clock comparator (it compares with the time of day) or from the
 * CPU timer (it counts down while the CPU runs or waits). */
#include <pvlab.h>

enum {
    COMPARATOR_MASK = 0x800, TIMER_MASK = 0x400,        /* of control register 0 */
    COMPARATOR = 0x1004, TIMER = 0x1005,                /* external-interruption codes */
    MILLISECOND = 1000 << 12,                           /* bit 51 of the clocks is a microsecond */
};

PV_RESULT struct {
    uint32_t ticks, early;                              /* interruptions; how many came before they were due */
} result;

static uint64_t due;
static int by_timer;

static void set_next(void)
{
    due += MILLISECOND;
    uint64_t left = MILLISECOND;
    if (by_timer)
        __asm__ volatile("spt %0" : : "Q"(left));
    else
        __asm__ volatile("sckc %0" : : "Q"(due));
}

void pv_on_external(void)
{
    volatile struct low_core *low = low_core();
    if (low->external_code != (by_timer ? TIMER : COMPARATOR))
        return;
    result.ticks++;
    result.early += !by_timer && pv_clock() < due;
    set_next();
    pv_wake(&low->external_old);
}

int main(void)
{
    uint32_t n = pv_param("n", 10);
    by_timer = pv_param_is("by", "cpu-timer");
    due = pv_clock();
    set_next();
    PV_LCTLG(0, PV_STCTG(0) | (by_timer ? TIMER_MASK : COMPARATOR_MASK));
    while (result.ticks < n)
        pv_wait(PSW_EXTERNAL);
    return 0;
}
