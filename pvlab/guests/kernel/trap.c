/* The CPU's tables, and what the kernel does about each trap. */
#include "ops.h"
#include "drivers.h"

/* Each table has pages of its own, so that a monitor which watches one of them sees nothing else. */
static uint64_t gdt[PAGE_SIZE / 8] __attribute__((aligned(PAGE_SIZE)));
static uint64_t idt[PAGE_SIZE / 8] __attribute__((aligned(PAGE_SIZE)));
static uint8_t task_page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
struct task_state *const task_state = (struct task_state *)task_page;

extern char trap_stubs[], system_call_stub[];

/* A gate of the interrupt descriptor table: to this address, interrupts off, open to this privilege level. */
static uint64_t gate(char *handler, uint64_t level)
{
    uint32_t address = (uint32_t)handler;
    return (uint64_t)(address & 0xFFFF0000) << 32 | 0x8E0000000000 | level << 45 |
           KERNEL_CODE << 16 | (address & 0xFFFF);
}

void traps_init(void)
{
    /* Code and data, for the kernel and for user mode, all flat: base 0, limit 4 GiB. They are marked as accessed, so
     * that the CPU need not write to the table. */
    gdt[KERNEL_CODE / 8] = 0x00CF9B000000FFFF;
    gdt[KERNEL_DATA / 8] = 0x00CF93000000FFFF;
    gdt[USER_CODE / 8] = 0x00CFFB000000FFFF;
    gdt[USER_DATA / 8] = 0x00CFF3000000FFFF;
    uint64_t base = (uint32_t)task_page;
    gdt[TASK_STATE / 8] = (base & 0xFF000000) << 32 | 0x890000000000 | (base & 0xFFFFFF) << 16 |
                          (sizeof(struct task_state) - 1);
    load_gdt(gdt, TASK_STATE + 8);

    task_state->ss0 = KERNEL_DATA;
    task_state->io_map = sizeof(struct task_state);
    load_task_register();

    for (uint32_t vector = 0; vector < FIRST_HANDLERS; vector++)
        idt[vector] = gate(trap_stubs + 16 * vector, 0);
    idt[SYSTEM_CALL] = gate(system_call_stub, 3);
    load_idt(idt, 256 * 8);
}

/* A process may make the kernel print only what is the process's own. */
static int32_t write(uint32_t address, uint32_t size)
{
    if (address < USER_START || address > USER_END || size > USER_END - address)
        return -1;
    console_write((const char *)address, size);
    counted++;
    return (int32_t)size;
}

static struct frame *system_call(struct frame *frame)
{
    switch (frame->eax) {
    case SYS_NULL:
        counted++;
        frame->eax = frame->ebx;
        return frame;
    case SYS_EXIT:
        return process_exit(frame->ebx);
    case SYS_WRITE:
        frame->eax = (uint32_t)write(frame->ebx, frame->ecx);
        return frame;
    case SYS_YIELD:
        return context_switch_yield();
    case SYS_FORK:
        counted++;
        return process_fork();
    }
    panic("unknown system call", frame->eax);
}

/* Every trap comes here, with interrupts off. The result is the frame with which to go on: its own, or that of another
 * process, and that is all there is to a context switch. */
struct frame *trap(struct frame *frame)
{
    switch (frame->vector) {
    case SYSTEM_CALL:
        return system_call(frame);
    case TIMER:
        timer_tick();
        return frame;
    case PAGE_FAULT:
        if (page_fault_serve(fault_address()))
            return frame;
        break;
    case DIVIDE_ERROR: {
        /* F7 F1 is DIV %ecx, the one division that a program of ours does by zero: go on behind it. */
        const uint8_t *code = (const uint8_t *)frame->eip;
        if ((frame->cs & 3) == 3 && code[0] == 0xF7 && code[1] == 0xF1) {
            frame->eip += 2;
            counted++;
            return frame;
        }
        break;
    }
    default:
        if (frame->vector - TIMER < 16 && line_interrupt(frame->vector - TIMER))
            return frame;
    }
    print("kernel panic: trap ");
    print_hex(frame->vector);
    panic("not expected at", frame->eip);
}
