/* The guest that `pvlab bench` times: does one thing n times. The thing is one exit under trap-and-emulate, so two
 * runs with different n differ by that many exits, and by nothing else that takes time. Or it is a long piece of code,
 * for what a translator does. */
#include <pvlab.h>

/* Page tables in PAE format: 8-byte entries, four pages of directory for 4 GiB. The first 32 MiB are mapped as they
 * are, in pages of 4 KiB. */
enum { TABLES = 16, ENTRIES = 512, PRESENT_WRITABLE = 3 };
static uint64_t pointers[4] __attribute__((aligned(32)));
static uint64_t directory[ENTRIES] __attribute__((aligned(4096)));
static uint64_t tables[TABLES][ENTRIES] __attribute__((aligned(4096)));

static void turn_paging_on(void)
{
    for (uint32_t page = 0; page < TABLES * ENTRIES; page++)
        tables[page / ENTRIES][page % ENTRIES] = (page << 12) | PRESENT_WRITABLE;
    for (uint32_t i = 0; i < TABLES; i++)
        directory[i] = (uintptr_t)tables[i] | PRESENT_WRITABLE;
    pointers[0] = (uintptr_t)directory | 1;
    __asm__ volatile("mov %%cr4, %%eax; or $0x20, %%eax; mov %%eax, %%cr4\n"        /* CR4.PAE */
                     "mov %0, %%cr3\n"
                     "mov %%cr0, %%eax; or $0x80000000, %%eax; mov %%eax, %%cr0"    /* CR0.PG */
                     : : "r"(pointers) : "eax", "memory");
}

/* Pieces of code that run one after the other. Each ends in a jump, so each is a unit of its own to a translator. */
enum { PIECES = 8192, PIECE = 7 };      /* a piece has 7 bytes */
extern char pieces_end[];
__asm__(".text\n"
        ".rept 8192\n"
        "add $1, %eax; xor %eax, %ecx; jmp 1f; 1:\n"
        ".endr\n"
        "pieces_end: ret");

int main(void)
{
    uint32_t n = pv_param("n", 100);
    turn_paging_on();
    if (pv_param_is("what", "cli"))
        while (n--)
            __asm__ volatile("cli" ::: "memory");
    else if (pv_param_is("what", "mov-cr3"))
        while (n--)
            __asm__ volatile("mov %0, %%cr3" : : "r"(pointers) : "memory");
    else if (pv_param_is("what", "io:write"))
        while (n--)
            pv_out8(0x80, 0);
    else if (pv_param_is("what", "pieces"))         /* the last so many of them, n times */
        for (char *entry = pieces_end - PIECE * pv_param("pieces", PIECES); n--; )
            __asm__ volatile("call *%0" : : "r"(entry) : "eax", "ecx", "cc", "memory");
    else                                            /* the first touch of a page that nothing else uses */
        for (volatile char *page = (char *)0x800000; n--; page += 4096)
            *page;
    return 0;
}
