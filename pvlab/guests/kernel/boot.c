/* The page tables that the kernel is born with. This code runs before there is paging, at its physical address, so
 * whatever it touches it must reach through PHYSICAL(). Native machines only: elsewhere the page tables may be
 * somebody else's work. */
#include "ops.h"

#define EFER            0xC0000080      /* the model-specific register of extended features */
#define EFER_NXE        (1 << 11)       /* turns the no-execute bit on */

typedef entry_t table_t[ENTRIES] __attribute__((aligned(PAGE_SIZE)));

table_t kernel_root, kernel_directory;
static table_t boot_root, kernel_tables[MEMORY_SIZE / PAGE_SIZE / ENTRIES];
entry_t no_execute;

/* Has this CPU the no-execute bit? Then turn it on. */
__attribute__((section(".boot")))
static entry_t enable_no_execute(void)
{
    uint32_t leaf = 0x80000000, features = 0, b, c;
    __asm__ volatile("cpuid" : "+a"(leaf), "=b"(b), "=c"(c), "+d"(features));
    if (leaf < 0x80000001)
        return 0;
    leaf = 0x80000001;
    __asm__ volatile("cpuid" : "+a"(leaf), "=b"(b), "=c"(c), "+d"(features));
    if (!(features & 1 << 20))
        return 0;
    write_msr(EFER, read_msr(EFER) | EFER_NXE);
    return 1ull << 63;
}

/* Map physical memory at KERNEL_BASE, each page with no more rights than what lies there needs, and give the root. The
 * root for the first moments maps the same memory at 0 as well: the instruction that turns paging on is still down
 * there. */
__attribute__((section(".boot")))
uint32_t boot_page_tables(void)
{
    entry_t *root = (entry_t *)PHYSICAL(boot_root), *later = (entry_t *)PHYSICAL(kernel_root);
    entry_t *directory = (entry_t *)PHYSICAL(kernel_directory), *tables = (entry_t *)PHYSICAL(kernel_tables);
    entry_t nx = enable_no_execute();
    *(entry_t *)PHYSICAL(&no_execute) = nx;

    for (uint32_t address = 0; address < MEMORY_SIZE; address += PAGE_SIZE) {
        entry_t rights = PRESENT | WRITE | nx;
        if ((address >= (uint32_t)boot_start && address < (uint32_t)boot_end) ||
            (address >= PHYSICAL(text_start) && address < PHYSICAL(text_end)))
            rights = PRESENT;
        else if (address >= PHYSICAL(text_end) && address < PHYSICAL(data_start))
            rights = PRESENT | nx;
        tables[address / PAGE_SIZE] = address | rights;
    }
    for (uint32_t i = 0; i < MEMORY_SIZE / PAGE_SIZE / ENTRIES; i++)
        directory[i] = PHYSICAL(kernel_tables[i]) | PRESENT | WRITE;
    root[KERNEL_BASE >> 30] = later[KERNEL_BASE >> 30] = PHYSICAL(kernel_directory) | PRESENT;
    root[0] = PHYSICAL(kernel_directory) | PRESENT;
    return (uint32_t)root;
}
