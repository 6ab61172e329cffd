/* Pages come and go. A guest fills n pages, is done with them, uses 48 others, and then needs the n for something new,
 * whatever is in them. The control program has 40 frames, and does not know that nobody wants the old contents:
 *
 *     keep       it writes them to its paging disk, and brings them back
 *     release    the guest says so (DIAGNOSE X'10'): new pages of zeros, from nowhere */
#include <pvlab.h>

enum { PAGE = 4096, MOST = 64, OTHERS = 48 };

PV_RESULT struct {
    uint32_t pages, zeros;          /* used once more; how many of them were empty */
} result;

static volatile uint64_t pages[MOST][PAGE / 8] __attribute__((aligned(4096)));
static volatile uint64_t others[OTHERS][PAGE / 8] __attribute__((aligned(4096)));

int main(void)
{
    uint32_t n = pv_param("n", 32);
    for (uint32_t i = 0; i < n; i++)
        pages[i][0] = i + 1;
    if (pv_param_is("by", "release")) {
        struct diagnose registers = {.rx = (uintptr_t)pages[0], .ry = (uintptr_t)pages[n - 1]};
        PV_DIAGNOSE(0x10, &registers);
    }
    for (uint32_t i = 0; i < OTHERS; i++)
        others[i][0] = i;
    uint64_t begin = pv_clock() >> 12;
    for (uint32_t i = 0; i < n; i++) {
        result.zeros += !pages[i][0];
        pages[i][0] = ~(uint64_t)i;
        result.pages++;
    }
    uint64_t spent = (pv_clock() >> 12) - begin;
    pv_print_unsigned(result.pages);
    pv_puts(" pages used again, ");
    pv_print_unsigned(result.zeros);
    pv_puts(" of them empty; ");
    pv_print_unsigned((uint32_t)(spent + 500) / 1000);
    pv_puts(" milliseconds\n");
    return 0;
}
