/* Physical memory: frames of one page each, and page tables made of them. */
#include <pvlab.h>
#include "ops.h"

/* The free frames, as a stack: the last one given back is the first one taken. */
static uint32_t frames[MEMORY_SIZE / PAGE_SIZE], frames_free;

/* Empty page tables that were used before. A table is given back as empty as it was taken, entry by entry, and never
 * serves as anything else again: to clear a page that was a page table costs a trap for every word if a monitor still
 * watches over it. */
static entry_t *tables[MEMORY_SIZE / PAGE_SIZE];
static uint32_t tables_free;

void memory_init(void)
{
    for (uint32_t frame = MEMORY_SIZE; frame > PHYSICAL(kernel_end); frame -= PAGE_SIZE)
        frames[frames_free++] = frame - PAGE_SIZE;
}

/* A frame's physical address. What is in it, is left over from its last use. */
uint32_t frame_new(void)
{
    if (!frames_free)
        panic("no memory left; frames in all", sizeof frames / sizeof *frames);
    return frames[--frames_free];
}

void frame_free(uint32_t frame) { frames[frames_free++] = frame; }

/* An empty page table. */
entry_t *table_new(void)
{
    if (tables_free)
        return tables[--tables_free];
    return memset(VIRTUAL(frame_new()), 0, PAGE_SIZE);
}

void table_free(entry_t *table) { tables[tables_free++] = table; }

/* A page of the kernel's address space that is mapped nowhere yet: gives its entry and its address. */
entry_t *kernel_window(void **address)
{
    entry_t *table = table_new();
    set_entry(kernel_directory + MEMORY_SIZE / PAGE_SIZE / ENTRIES, PHYSICAL(table) | PRESENT | WRITE);
    *address = VIRTUAL(MEMORY_SIZE);
    return table;
}

/* So many empty pages side by side, never to be given back: for a driver that shows them to its device. */
void *pages_take(uint32_t pages)
{
    uint32_t first = frame_new();
    for (uint32_t i = 1; i < pages; i++)
        if (frame_new() != first + i * PAGE_SIZE)
            panic("no such pages side by side", pages);
    return memset(VIRTUAL(first), 0, pages * PAGE_SIZE);
}

/* See a device's registers. The devices' memory is one region of 2 MiB, in which virtual addresses are the physical
 * ones. */
volatile void *device_map(uint32_t address, uint32_t size)
{
    entry_t *directory = kernel_directory + (DEVICES - KERNEL_BASE) / PAGE_SIZE / ENTRIES;
    if (!*directory)
        set_entry(directory, PHYSICAL(table_new()) | PRESENT | WRITE);
    entry_t *table = VIRTUAL(*directory & ENTRY_ADDRESS);
    for (uint32_t page = address & -PAGE_SIZE; page < address + size; page += PAGE_SIZE)
        set_entry(table + page / PAGE_SIZE % ENTRIES, page | PRESENT | WRITE | no_execute);
    return (volatile void *)address;
}
