/* Two virtual CPUs hand a token to and fro, n times. Whoever does not have it must wait, and there may be one real CPU
 * for both: then a CPU that spins uses up the time in which the other could give the token back. Three ways to wait:
 *
 *     spin    look at the token again and again
 *     x44     DIAGNOSE X'44': give up the time slice
 *     x9c     DIAGNOSE X'9C': give it to the CPU that has the token */
#include <pvlab.h>

enum { OTHER = 1 };

PV_RESULT struct {
    uint32_t handed;
} result;

static volatile uint32_t token, n;          /* the token: which CPU has it */
static volatile int second_done;
static enum { SPIN, YIELD, DIRECTED } how;
uint8_t second_stack[16384] __attribute__((aligned(16)));

__asm__(".text\n"
        "second_start:\n"
        "        larl %r15, second_stack + 16384 - 160\n"
        "        brasl %r14, second_main\n");
void second_start(void);

static void take_turns(uint32_t own)
{
    for (uint32_t i = 0; i < n; i++) {
        while (token != own) {
            if (how == YIELD)
                __asm__ volatile("diag %%r0, %%r0, 0x44" : : : "memory");
            else if (how == DIRECTED)
                __asm__ volatile("diag %0, %%r0, 0x9c" : : "d"((uint64_t)!own) : "memory");
        }
        result.handed++;
        token = !own;
    }
}

void second_main(void)
{
    take_turns(OTHER);
    second_done = 1;
    pv_exit(0);
}

int main(void)
{
    n = pv_param("n", 100);
    how = pv_param_is("by", "x9c") ? DIRECTED : pv_param_is("by", "x44") ? YIELD : SPIN;
    volatile struct low_core *low = low_core();
    low->restart_new.mask = PSW_64BIT;
    low->restart_new.address = (uintptr_t)second_start;
    int cc;
    __asm__ volatile("sigp %%r0, %1, 6\n\tipm %0\n\tsrl %0, 28" : "=d"(cc) : "d"((uint64_t)OTHER) : "cc", "memory");
    if (cc)
        return 1;                           /* there is no second CPU */
    take_turns(0);
    while (!second_done)
        if (how != SPIN)
            __asm__ volatile("diag %%r0, %%r0, 0x44" : : : "memory");
    return 0;
}
