/* Processes: what an address space is made of, and how the CPU comes from one to another. */
#include <pvlab.h>
#include "ops.h"

static uint8_t stacks[2][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
struct process processes[2], *current;

/* The entry that maps a user address. */
entry_t *process_entry(struct process *process, uint32_t address)
{
    return process->table + address / PAGE_SIZE % ENTRIES;
}

/* Page tables without a user page: a root, which has one entry for each GiB, a directory with one for each 2 MiB, and
 * one table, for the 2 MiB of a process. The kernel's GiB is the same in all. */
static void space_new(struct process *process)
{
    process->root = table_new();
    process->directory = table_new();
    process->table = table_new();
    set_entry(process->directory + (USER_START >> 21), PHYSICAL(process->table) | PRESENT | WRITE | USER);
    set_entry(process->root + (USER_START >> 30), PHYSICAL(process->directory) | PRESENT);
    set_entry(process->root + (KERNEL_BASE >> 30), PHYSICAL(kernel_directory) | PRESENT);
}

/* Give everything back. The frames of read-only pages are the kernel's image. */
static void space_free(struct process *process)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        if (process->table[i] & WRITE)
            frame_free((uint32_t)(process->table[i] & ENTRY_ADDRESS));
        if (process->table[i])
            set_entry(process->table + i, 0);
    }
    set_entry(process->directory + (USER_START >> 21), 0);
    set_entry(process->root + (USER_START >> 30), 0);
    set_entry(process->root + (KERNEL_BASE >> 30), 0);
    table_free(process->table);
    table_free(process->directory);
    table_free(process->root);
}

/* Give the process a page of its own that begins as a copy of `from`, or empty. */
static void *page_new(struct process *process, uint32_t address, const void *from)
{
    uint32_t frame = frame_new();
    if (from)
        memcpy(VIRTUAL(frame), from, PAGE_SIZE);
    else
        memset(VIRTUAL(frame), 0, PAGE_SIZE);
    set_entry(process_entry(process, address), frame | PRESENT | WRITE | USER | no_execute);
    return VIRTUAL(frame);
}

/* A frame at the top of the process's kernel stack, where a trap from user mode would leave one. */
static void frame_place(struct process *process)
{
    process->stack_top = stacks[process - processes] + PAGE_SIZE;
    process->frame = (struct frame *)process->stack_top - 1;
}

/* Make a process that runs this program, a function of user.c, with one argument. */
void process_create(struct process *process, void (*program)(uint32_t), uint32_t argument)
{
    space_new(process);
    const char *image = user_image;
    for (char *page = user_text_start; page < user_text_end; page += PAGE_SIZE, image += PAGE_SIZE)
        set_entry(process_entry(process, (uint32_t)page), PHYSICAL(image) | PRESENT | USER);
    for (char *page = user_data_start; page < user_data_end; page += PAGE_SIZE, image += PAGE_SIZE)
        page_new(process, (uint32_t)page, image);
    uint32_t *stack = page_new(process, USER_END - PAGE_SIZE, NULL);
    stack[PAGE_SIZE / 4 - 1] = argument;            /* where C looks for it, above the return address (there is none) */

    frame_place(process);
    *process->frame = (struct frame){
        .eip = (uint32_t)program, .cs = USER_CODE, .eflags = 0x202,     /* interrupts on */
        .esp = USER_END - 8, .ss = USER_DATA,
    };
}

/* Change to another process's address space and kernel stack. Gives the frame with which it goes on. */
struct frame *process_switch(struct process *next)
{
    current = next;
    set_kernel_stack(next->stack_top);
    load_cr3(next->root);
    return next->frame;
}

/* Copy the process that asks, page by page, and run the copy. Its parent goes on when it has ended. */
struct frame *process_fork(void)
{
    struct process *child = processes + 1;
    space_new(child);
    for (uint32_t address = USER_START; address < USER_END; address += PAGE_SIZE) {
        entry_t entry = *process_entry(current, address);
        if (entry & WRITE)
            page_new(child, address, VIRTUAL(entry & ENTRY_ADDRESS));
        else if (entry)
            set_entry(process_entry(child, address), entry & ~(ACCESSED | DIRTY));
    }
    frame_place(child);
    *child->frame = *current->frame;
    child->frame->eax = 0;
    return process_switch(child);
}

/* The first process's end is the workload's. That of a copy gives its status to its parent, which goes on. */
struct frame *process_exit(uint32_t status)
{
    if (current == processes)
        done(counted, status);
    struct process *child = current;
    struct frame *frame = process_switch(processes);
    space_free(child);
    frame->eax = status;
    return frame;
}
