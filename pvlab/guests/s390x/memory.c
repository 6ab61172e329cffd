/* What a C compiler may call of its own accord even in a freestanding program. The barriers keep it from recognising
 * the loops as what they are, and calling the function from itself. */
#include <pvlab.h>

void *memset(void *to, int byte, size_t size)
{
    uint8_t *next = to;
    uint64_t eight = (uint8_t)byte * 0x0101010101010101ull;
    for (; size >= 8; next += 8, size -= 8)
        __asm__ volatile("stg %1, %0" : "=T"(*(uint64_t *)next) : "d"(eight));
    for (; size; next++, size--)
        __asm__ volatile("stc %1, %0" : "=R"(*next) : "d"(byte));
    return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
    uint8_t *next = to;
    const uint8_t *source = from;
    for (; size >= 256; next += 256, source += 256, size -= 256)
        __asm__ volatile("mvc 0(256, %0), 0(%1)" : : "a"(next), "a"(source) : "memory");
    for (; size; next++, source++, size--)
        __asm__ volatile("mvc 0(1, %0), 0(%1)" : : "a"(next), "a"(source) : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(to, from, size);
    uint8_t *next = (uint8_t *)to + size;
    const uint8_t *source = (const uint8_t *)from + size;
    while (size-- > 0)
        __asm__ volatile("mvc 0(1, %0), 0(%1)" : : "a"(--next), "a"(--source) : "memory");
    return to;
}

int memcmp(const void *one, const void *other, size_t size)
{
    const uint8_t *a = one, *b = other;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return a[i] - b[i];
    return 0;
}
