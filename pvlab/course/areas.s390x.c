/* A guest that asks its control program to compare two areas of storage: DIAGNOSE X'104', a user's code.
 *
 * The areas are alike but for the byte number `at`, which is higher by `delta` in the second one. */
#include <pvlab.h>

enum { SIZE = 8192 };
static uint8_t one[SIZE], other[SIZE];

int main(void)
{
    uint32_t length = pv_param("length", 64), at = pv_param("at", SIZE), seed = pv_param("seed", 1);
    for (int i = 0; i < SIZE; i++) {
        seed = seed * 1103515245 + 12345;
        one[i] = other[i] = (uint8_t)(seed >> 16);
    }
    if (at < SIZE)
        other[at] = (uint8_t)(other[at] + pv_param("delta", 1));
    struct diagnose registers = { .rx = (uintptr_t)one, .rx1 = length, .ry = (uintptr_t)other };
    int cc = PV_DIAGNOSE(0x104, &registers);
    pv_puts("cc=");
    pv_print_unsigned((uint32_t)cc);
    pv_puts(" equal=");
    pv_print_unsigned((uint32_t)registers.rx1);
    pv_puts("\n");
    return 0;
}
