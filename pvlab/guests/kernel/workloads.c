/* The workloads: what each does n times, as far as it happens in the kernel. The other half is in user.c. */
#include <pvlab.h>
#include "ops.h"
#include "drivers.h"

uint32_t wanted;                        /* n */
uint32_t counted;                       /* how often the kernel has seen what the workload does */

static void run(void (*program)(uint32_t), uint32_t argument)
{
    process_create(processes, program, argument);
    resume(process_switch(processes));
}

/* --- in user mode ---------------------------------------------------------------------------------------------- */

/* Arithmetic: the kernel sees nothing of it, and takes the count on trust. */
static void compute(uint32_t n)
{
    counted = n;
    run(user_compute, n);
}

/* The timer interrupts a program that knows nothing of it; timer.c ends the workload with the last tick. */
static void timer(uint32_t n)
{
    timer_start(n);
    run(user_spin, n);
}

/* --- between user mode and the kernel -------------------------------------------------------------------------- */

static void syscall(uint32_t n) { run(user_syscall, n); }
static void fork(uint32_t n) { run(user_fork, n); }
static void divide_error(uint32_t n) { run(user_divide_error, n); }

static void console(uint32_t n)
{
    console_open();
    run(user_console, n);
}

/* Two processes, each of which lets the other run as soon as it runs itself. */
static void context_switch(uint32_t n)
{
    wanted = n;
    process_create(processes + 1, user_yield, 1);
    run(user_yield, 0x10000);
}

/* The process that runs gives way to the other one, n times in all. */
struct frame *context_switch_yield(void)
{
    if (counted++ < wanted)
        return process_switch(current == processes ? processes + 1 : processes);

    /* Each has counted its own turns, at one address in two memories; the first in steps of 0x10000. */
    uint32_t turns = 0, address = (uint32_t)&user_turns;
    for (int i = 0; i < 2; i++) {
        char *page = VIRTUAL(*process_entry(processes + i, address) & ENTRY_ADDRESS);
        turns += *(uint32_t *)(page + address % PAGE_SIZE);
    }
    done(wanted, turns);
}

/* The program touches page after page of a window. One frame serves them all: each page that turns out to be missing
 * gets the frame that the page before it had. So one fault is served like the other, however many there are. */
static uint32_t window_frame, window_page;
#define WINDOW_END (USER_WINDOW + WINDOW_PAGES * PAGE_SIZE)

static void window_map(uint32_t page)
{
    window_page = page;
    memset(VIRTUAL(window_frame), 0, PAGE_SIZE);
    set_entry(process_entry(processes, page), window_frame | PRESENT | WRITE | USER | no_execute);
}

static void page_fault(uint32_t n)
{
    process_create(processes, user_page_fault, n);
    window_frame = frame_new();
    window_map(WINDOW_END - PAGE_SIZE);
    resume(process_switch(processes));
}

/* Serve a page fault; 0 if it is none of this workload's. */
int page_fault_serve(uint32_t address)
{
    if (!window_frame || address < USER_WINDOW || address >= WINDOW_END)
        return 0;
    set_entry(process_entry(processes, window_page), 0);
    flush_page((void *)window_page);
    window_map(address & ~(PAGE_SIZE - 1u));
    counted++;
    return 1;
}

/* --- in the kernel --------------------------------------------------------------------------------------------- */

/* Let one page stand for two frames in turn, and read a word through it each time. */
static void page_table_update(uint32_t n)
{
    volatile uint32_t *page;
    entry_t *entry = kernel_window((void **)&page);
    uint32_t frames[2], sum = 0;
    for (int i = 0; i < 2; i++) {
        frames[i] = frame_new();
        *(uint32_t *)VIRTUAL(frames[i]) = i ? 0x10000 : 1;
        set_entry(entry, frames[i] | PRESENT | WRITE | no_execute);
    }
    sum += *page;
    for (uint32_t i = 0; i < n; i++) {
        set_entry(entry, frames[i % 2] | PRESENT | WRITE | no_execute);
        flush_page((void *)page);
        sum += *page;
    }
    done(n, sum);
}

/* Write a control register and read it again. CR2 is the one of which nothing depends: no mode, no translation. */
static void control_register(uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        set_fault_address(i);
        sum += fault_address() == i;
    }
    done(n, sum);
}

/* The idiom by which a kernel protects a few instructions: interrupts off, and then back to what they were, on or off.
 * Here they were on, so afterwards the timer wakes the CPU. If POPF did not do what it should, nothing ever will. */
static void interrupt_flags(uint32_t n)
{
    interrupts_on();
    for (uint32_t i = 0; i < n; i++) {
        uint32_t flags = interrupts_save();
        counted++;
        interrupts_restore(flags);
    }
    timer_start(0);
    while (!ticks)
        halt();
    interrupts_off();
    done(counted, ticks > 0);
}

/* Port 0x80 is nobody's: reading it takes the time of a port read and gives all ones. */
static void port_io(uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += in8(0x80);
    done(n, sum);
}

/* A chain of so many calls, each inside the one before, and as many returns. The empty assembly keeps the compiler from
 * making it a loop. */
__attribute__((noinline)) static uint32_t descend(uint32_t calls)
{
    uint32_t below = calls > 1 ? descend(calls - 1) : 0;
    __asm__ volatile("" : "+r"(below));
    return below + 1;
}

static void call_return(uint32_t n)
{
    uint32_t sum = 0, chain;
    for (uint32_t left = n; left; left -= chain) {
        chain = left < 16 ? left : 16;
        sum += descend(chain);
    }
    done(n, sum);
}

/* Wait for the next tick. Interrupts are off except while waiting, so no tick comes between the look and the wait. */
static void idle(uint32_t n)
{
    timer_start(0);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t before = ticks;
        while (ticks == before) {
            safe_halt();
            interrupts_off();
        }
        counted++;
    }
    done(counted, n);
}

const struct workload workloads[] = {
    { "compute", "rounds", "sum", compute },
    { "syscall", "calls", "sum", syscall },
    { "context-switch", "switches", "turns", context_switch },
    { "page-fault", "faults", "sum", page_fault },
    { "page-table-update", "updates", "sum", page_table_update },
    { "fork", "copies", "sum", fork },
    { "interrupt-flags", "sections", "woken", interrupt_flags },
    { "port-io", "reads", "sum", port_io },
    { "divide-error", "faults", "sum", divide_error },
    { "call-return", "calls", "sum", call_return },
    { "timer", "ticks", "wanted", timer },
    { "idle", "waits", "wanted", idle },
    { "console", "lines", "bytes", console },
    { "control-register", "writes", "sum", control_register },
    { "disk-read", "sectors", "sum", disk_read },
    { "disk-write", "sectors", "sum", disk_write },
    { "net-send", "packets", "sum", net_send },
    { "net-receive", "packets", "sum", net_receive },
    { NULL, NULL, NULL, NULL },
};
