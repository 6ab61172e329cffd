/* Everything privileged that the kernel does, each as one operation. This is the bare machine's way of doing it.
 *
 * The rest of the kernel has no privileged instruction, and neither it nor this file uses one that is sensitive without
 * being privileged: PUSHF and POPF, reading a segment register, SGDT, STR and their like. Outside ring 0 such an
 * instruction does not trap but quietly does something else. The one exception is interrupts_save and
 * interrupts_restore: an idiom that kernels use everywhere, and the one that trap-and-emulate breaks on. Only the
 * workload interrupt-flags uses them. */
#ifndef OPS_H
#define OPS_H

#include "kernel.h"

#ifdef __ASSEMBLER__

/* Go back to what a trap interrupted: IRET takes EIP, CS and EFLAGS off the stack, and for user code ESP and SS too. */
        .macro RETURN_FROM_TRAP
        iret
        .endm

/* Turn paging on, with the page tables whose root's physical address is in EAX. */
        .macro PAGING_ON
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $0x20, %eax             # PAE: entries of 8 bytes, which have room for the no-execute bit
        mov     %eax, %cr4
        mov     %cr0, %eax
        or      $0x80010000, %eax       # PG: paging on; WP: read-only pages are read-only for the kernel too
        mov     %eax, %cr0
        .endm

#else

/* Always inlined: boot.c uses some of them before the kernel's own addresses mean anything. */
#define OPERATION static inline __attribute__((always_inline))

/* --- interrupts ------------------------------------------------------------------------------------------------ */

OPERATION void interrupts_off(void) { __asm__ volatile("cli" : : : "memory"); }
OPERATION void interrupts_on(void) { __asm__ volatile("sti" : : : "memory"); }

/* Wait for the next interrupt, which must be on. */
OPERATION void halt(void) { __asm__ volatile("hlt" : : : "memory"); }

/* Turn interrupts on and wait for one. STI takes effect after the instruction that follows it, so no interrupt can
 * arrive between the two and leave the kernel waiting for what has already happened. */
OPERATION void safe_halt(void) { __asm__ volatile("sti; hlt" : : : "memory"); }

/* Turn interrupts off and say how they were before; put them back to how they were. */
OPERATION uint32_t interrupts_save(void)
{
    uint32_t flags;
    __asm__ volatile("pushf; pop %0; cli" : "=r"(flags) : : "memory");
    return flags;
}

OPERATION void interrupts_restore(uint32_t flags) { __asm__ volatile("push %0; popf" : : "r"(flags) : "memory", "cc"); }

/* --- page tables ----------------------------------------------------------------------------------------------- */

/* Use the page tables below this root, for which every cached translation is forgotten. */
OPERATION void load_cr3(entry_t *root) { __asm__ volatile("mov %0, %%cr3" : : "r"(PHYSICAL(root)) : "memory"); }

/* The address that the last page fault was about. */
OPERATION uint32_t fault_address(void)
{
    uint32_t address;
    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    return address;
}

/* Put another address there. A kernel has no use for it; the workload control-register writes a register that moves
 * nothing else. */
OPERATION void set_fault_address(uint32_t address) { __asm__ volatile("mov %0, %%cr2" : : "r"(address)); }

/* Write one entry of a page table. An entry has 8 bytes, and CMPXCHG8B is the one instruction by which this CPU stores
 * 8 bytes at once. Two stores of 4 bytes would leave a moment in which the entry is half the old one and half the
 * new, and would be two traps instead of one for a monitor that write-protects page tables. */
OPERATION void set_entry(entry_t *entry, entry_t value)
{
    entry_t old = *entry;
    __asm__ volatile("1: cmpxchg8b %0; jne 1b"
                     : "+m"(*entry), "+A"(old)
                     : "b"((uint32_t)value), "c"((uint32_t)(value >> 32)) : "cc", "memory");
}

/* Forget the cached translation of one page, whose entry was changed. */
OPERATION void flush_page(void *address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }

/* --- the CPU's tables ------------------------------------------------------------------------------------------ */

struct table_pointer {
    uint16_t limit;                     /* the table's size less one */
    uint32_t base;
} __attribute__((packed));

/* What the CPU reads of the task state segment: the stack for a trap that comes from user mode. */
struct task_state {
    uint32_t previous, esp0, ss0, unused[22];
    uint16_t trap, io_map;              /* a map beyond the segment's limit: user mode may use no port */
};
extern struct task_state *const task_state;

/* Use a global descriptor table, and with it the kernel's own segments. */
OPERATION void load_gdt(void *table, uint32_t size)
{
    struct table_pointer pointer = { (uint16_t)(size - 1), (uint32_t)table };
    __asm__ volatile("lgdt %0; ljmp %1, $1f; 1:\n\t"
                     "mov %2, %%ss; mov %3, %%ds; mov %3, %%es; mov %4, %%fs; mov %4, %%gs"
                     : : "m"(pointer), "i"(KERNEL_CODE), "r"(KERNEL_DATA), "r"(USER_DATA), "r"(0) : "memory");
}

OPERATION void load_idt(void *table, uint32_t size)
{
    struct table_pointer pointer = { (uint16_t)(size - 1), (uint32_t)table };
    __asm__ volatile("lidt %0" : : "m"(pointer) : "memory");
}

OPERATION void write_msr(uint32_t number, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(number), "A"(value));
}

OPERATION uint64_t read_msr(uint32_t number)
{
    uint64_t value;
    __asm__ volatile("rdmsr" : "=A"(value) : "c"(number));
    return value;
}

OPERATION void load_task_register(void) { __asm__ volatile("ltr %w0" : : "r"(TASK_STATE)); }

/* Say on which stack the next trap from user mode arrives. */
OPERATION void set_kernel_stack(void *top) { task_state->esp0 = (uint32_t)top; }

/* --- ports ----------------------------------------------------------------------------------------------------- */

OPERATION void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

OPERATION uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

OPERATION void out16(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }

OPERATION uint16_t in16(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* Read or write a port so many times, from or to memory, by one instruction. */
OPERATION void in16_string(uint16_t port, void *to, uint32_t count)
{
    __asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

OPERATION void out16_string(uint16_t port, const void *from, uint32_t count)
{
    __asm__ volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

/* Print one character on the machine's debug console. */
OPERATION void console_put(char character) { out8(0xE9, (uint8_t)character); }

/* Switch the machine off; the status says how it went. The loop is for a machine without this switch. */
OPERATION __attribute__((noreturn)) void power_off(uint8_t status)
{
    out8(0xF4, status);
    for (;;)
        halt();
}

#endif
#endif
