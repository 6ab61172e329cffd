/* What a C compiler may call of its own accord even in a freestanding program. REP is one instruction for the whole
 * block, so these cost few guest instructions; four bytes at a time, and then what is left over. */
#include <pvlab.h>

void *memset(void *to, int byte, size_t size)
{
    void *next = to;
    size_t words = size / 4, rest = size % 4;
    __asm__ volatile("rep stosl" : "+D"(next), "+c"(words) : "a"((byte & 0xFF) * 0x01010101u) : "memory");
    __asm__ volatile("rep stosb" : "+D"(next), "+c"(rest) : "a"(byte) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
    void *next = to;
    size_t words = size / 4, rest = size % 4;
    __asm__ volatile("rep movsl" : "+D"(next), "+S"(from), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(next), "+S"(from), "+c"(rest) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(to, from, size);
    /* The end of `from` lies under the start of `to`: copy from the end. A loop rather than STD and REP, because an
     * interrupt must never find the direction flag set. The barrier keeps the compiler from making it a call to
     * memmove. */
    for (size_t i = size; i-- > 0;) {
        ((char *)to)[i] = ((const char *)from)[i];
        __asm__ volatile("" : : : "memory");
    }
    return to;
}

int memcmp(const void *one, const void *other, size_t size)
{
    const unsigned char *a = one, *b = other;
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return a[i] - b[i];
    return 0;
}
