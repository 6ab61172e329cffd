/* 64-bit division: the compiler calls these by these names, because i686 has no instruction for it. */
#include <stdint.h>

static uint64_t divide(uint64_t number, uint64_t by, uint64_t *rest)
{
    if (!by) {                          /* as DIV would: raise the divide error here */
        __asm__ volatile("divl %0" : : "r"(0), "a"(0), "d"(0));
        __builtin_unreachable();
    }
    uint64_t quotient = 0, remainder = 0;
    for (int bit = 63; bit >= 0; bit--) {
        uint64_t carry = remainder >> 63;
        remainder = remainder << 1 | (number >> bit & 1);
        if (carry || remainder >= by) {
            remainder -= by;
            quotient |= 1ull << bit;
        }
    }
    *rest = remainder;
    return quotient;
}

static uint64_t magnitude(int64_t number) { return number < 0 ? 0 - (uint64_t)number : (uint64_t)number; }

uint64_t __udivdi3(uint64_t number, uint64_t by)
{
    uint64_t rest;
    return divide(number, by, &rest);
}

uint64_t __umoddi3(uint64_t number, uint64_t by)
{
    uint64_t rest;
    divide(number, by, &rest);
    return rest;
}

int64_t __divdi3(int64_t number, int64_t by)
{
    uint64_t quotient = __udivdi3(magnitude(number), magnitude(by));
    return (int64_t)((number < 0) == (by < 0) ? quotient : 0 - quotient);
}

int64_t __moddi3(int64_t number, int64_t by)
{
    uint64_t rest = __umoddi3(magnitude(number), magnitude(by));
    return (int64_t)(number < 0 ? 0 - rest : rest);
}
