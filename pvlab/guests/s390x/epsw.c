/* z/Architecture's small hole. A kernel is in supervisor state, and asks twice in which state it is: by EXTRACT PSW,
 * which any program may execute and which never traps, and by a SUPERVISOR CALL, which makes the machine store its
 * PSW. */
#include <pvlab.h>

enum { PROBLEM_STATE = 0x10000 };       /* bit 15, in the left word of a PSW */

PV_RESULT struct {
    uint32_t extracted, stored;
} result;

void pv_on_svc(void) { result.stored = (uint32_t)(low_core()->svc_old.mask >> 32); }

static void say(const char *who, uint32_t word)
{
    pv_puts(who);
    pv_puts(word & PROBLEM_STATE ? "problem state" : "supervisor state");
    pv_puts("\n");
}

int main(void)
{
    __asm__ volatile("epsw %0, %%r0" : "=d"(result.extracted) : : "0");
    __asm__ volatile("svc 1" : : : "memory");
    say("EPSW:        ", result.extracted);
    say("SVC old PSW: ", result.stored);
    return result.extracted != result.stored;
}
