# The first instructions. The machine boots as the Multiboot specification says: 32-bit protected mode, flat segments,
# ring 0, paging and interrupts off, and EBX holding the physical address of a block of boot information. The code in
# .boot runs at its physical address; at its end, paging is on and the kernel runs at KERNEL_BASE.
#include "ops.h"

        .section .multiboot, "a"
        .align 4
        .long 0x1BADB002                # the magic number by which a boot loader knows a Multiboot kernel
        .long 0                         # flags: no wishes
        .long -0x1BADB002               # the three words add up to zero

        .section .boot, "ax"
        .globl _start
_start: mov     $boot_stack_top - KERNEL_BASE, %esp
        call    boot_page_tables        # boot.c; gives the physical address of their root
        PAGING_ON
        mov     $high, %eax             # up to now each instruction was at its physical address: leave for the
        jmp     *%eax                   # kernel's own addresses

        .text
high:   mov     $boot_stack_top, %esp
        push    %ebx
        call    kernel_main             # main.c; it does not return

        .bss
        .align 4096
        .skip   4096                    # the stack until there is a process, and of the workloads that need none
boot_stack_top:
