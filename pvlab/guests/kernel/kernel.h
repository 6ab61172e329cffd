/* What the parts of the kernel know of each other. Read this file first, then ops.h, and then main.c. */
#ifndef KERNEL_H
#define KERNEL_H

/* All virtual memory from KERNEL_BASE up is the kernel's, in every address space alike. The kernel uses the first
 * MEMORY_SIZE bytes of physical memory and sees them all from there: physical address p at KERNEL_BASE + p. */
#define KERNEL_BASE     0xC0000000
#define MEMORY_SIZE     0x00400000
#define PAGE_SIZE       4096

/* Registers of devices that are in memory: 2 MiB, at their physical addresses. */
#define DEVICES         0xFEA00000

/* A process sees one region of 2 MiB, so that one page table holds it all. */
#define USER_START      0x00400000      /* its code, and its data at 0x440000: see kernel.ld */
#define USER_WINDOW     0x00480000      /* pages that the page-fault workload touches */
#define WINDOW_PAGES    256
#define USER_END        0x00600000      /* its stack ends here */

/* Selectors: an index into the global descriptor table, times 8, and the privilege level that asks. */
#define KERNEL_CODE     0x08
#define KERNEL_DATA     0x10            /* for SS only, see trap.S */
#define USER_CODE       0x1B
#define USER_DATA       0x23
#define TASK_STATE      0x28

/* Vectors of the interrupt descriptor table. */
#define DIVIDE_ERROR    0
#define PAGE_FAULT      14
#define TIMER           0x20            /* 0x20-0x2F: the interrupt controllers' sixteen lines */
#define SYSTEM_CALL     0x80
#define FIRST_HANDLERS  0x30            /* vectors below this one have handlers, and SYSTEM_CALL */

/* System calls: the number goes into EAX, arguments into EBX and ECX, and the result comes back in EAX. */
#define SYS_NULL        0               /* gives its argument back: the cost of a call, and nothing else */
#define SYS_EXIT        1               /* ends the process; its argument is the answer or status */
#define SYS_WRITE       2               /* prints ECX characters at EBX */
#define SYS_YIELD       3               /* lets the other process run */
#define SYS_FORK        4               /* runs a copy of the process: 0 in the copy, the copy's status in the caller */

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/* One entry of a page table, of any level: a physical address and these bits. */
typedef uint64_t entry_t;
#define PRESENT         (1ull << 0)
#define WRITE           (1ull << 1)
#define USER            (1ull << 2)
#define ACCESSED        (1ull << 5)     /* the CPU sets this when it uses the entry */
#define DIRTY           (1ull << 6)     /* and this when it writes to the page */
#define ENTRY_ADDRESS   0x0000000FFFFFF000ull
#define ENTRIES         512

#define PHYSICAL(pointer) ((uint32_t)(pointer) - KERNEL_BASE)
#define VIRTUAL(address) ((void *)((uint32_t)(address) + KERNEL_BASE))

/* What a trap leaves on the kernel stack: trap.S pushes the first ten, the CPU the rest. */
struct frame {
    uint32_t edi, esi, ebp, unused, ebx, edx, ecx, eax; /* in PUSHA's order */
    uint32_t vector, error;
    uint32_t eip, cs, eflags;
    uint32_t esp, ss;                   /* only when the trap came from user mode */
};

/* A process: an address space, and a kernel stack with its registers at the top. */
struct process {
    entry_t *root, *directory, *table;  /* its page tables, from the four entries that CR3 points to, down */
    struct frame *frame;                /* the registers with which it goes on */
    void *stack_top;                    /* the end of its kernel stack */
};

/* A workload of the command line's choice. */
struct workload {
    const char *name;
    const char *unit, *answer;          /* what is counted, and what the answer is, for the report */
    void (*start)(uint32_t n);          /* does the work n times and then calls done(), now or from a trap */
};

/* boot.c */
extern entry_t no_execute;              /* bit 63, or 0 on a CPU without it */
extern entry_t kernel_root[ENTRIES], kernel_directory[ENTRIES];

/* main.c */
void done(uint32_t count, uint32_t answer) __attribute__((noreturn));
void panic(const char *what, uint32_t value) __attribute__((noreturn));

/* console.c */
void print(const char *text);
void print_bytes(const char *bytes, uint32_t size);
void print_number(uint32_t number);
void print_hex(uint32_t number);

/* memory.c */
void memory_init(void);
uint32_t frame_new(void);
void frame_free(uint32_t frame);
entry_t *table_new(void);
void table_free(entry_t *table);
entry_t *kernel_window(void **address);
void *pages_take(uint32_t pages);
volatile void *device_map(uint32_t address, uint32_t size);

/* process.c */
extern struct process processes[2], *current;
void process_create(struct process *process, void (*program)(uint32_t), uint32_t argument);
struct frame *process_switch(struct process *next);
struct frame *process_fork(void);
struct frame *process_exit(uint32_t status);
entry_t *process_entry(struct process *process, uint32_t address);

/* timer.c */
extern volatile uint32_t ticks;
void interrupts_init(void);
void timer_start(uint32_t last);
void timer_tick(void);

/* trap.c and trap.S */
void traps_init(void);
struct frame *trap(struct frame *frame);
void resume(struct frame *frame) __attribute__((noreturn));

/* workloads.c */
extern const struct workload workloads[];
extern uint32_t counted;
struct frame *context_switch_yield(void);
int page_fault_serve(uint32_t address);

/* user.c: what runs in user mode. The kernel may not call these; it knows where they are. */
extern uint32_t user_turns;
void user_compute(uint32_t n);
void user_syscall(uint32_t n);
void user_yield(uint32_t number);
void user_page_fault(uint32_t n);
void user_fork(uint32_t n);
void user_divide_error(uint32_t n);
void user_spin(uint32_t n);
void user_console(uint32_t n);

/* kernel.ld: only the addresses of these mean something */
extern char boot_start[], boot_end[], text_start[], text_end[], user_image[], user_text_start[], user_text_end[],
            user_data_start[], user_data_end[], data_start[], kernel_end[];
#endif
#endif
