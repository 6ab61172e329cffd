# Where traps arrive: exceptions, interrupts and system calls.
#
# The CPU has pushed EFLAGS, CS and EIP, has switched to the kernel stack first if the trap came from user mode, and,
# because every gate is an interrupt gate, has turned interrupts off. What is left is to save the registers.
#
# Segment registers are not among them. DS and ES hold USER_DATA always, in the kernel too: it is flat like the kernel's
# own, and its privilege level lets everyone use it. So no trap needs to save or load one. (The CPU itself loads CS, and
# SS from the task state segment.)
#include "ops.h"

        .text

# One stub for each vector says which one it is. The CPU pushes an error code for some exceptions; the others get a
# zero in its place, so that all frames look alike.
        .macro STUB vector
        .align 16
        .if \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17
        .else
        push    $0
        .endif
        push    $\vector
        jmp     entry
        .endm

        .globl  trap_stubs              # vectors 0 to FIRST_HANDLERS - 1, 16 bytes apart
        .align 16
trap_stubs:
        .set    number, 0
        .rept   FIRST_HANDLERS
        STUB    number
        .set    number, number + 1
        .endr

        .globl  system_call_stub
        .align 16
system_call_stub:
        push    $0
        push    $SYSTEM_CALL

entry:  pusha
        cld                             # C code counts on it, and a user program may have left it otherwise
        push    %esp                    # the argument: where the frame is
        call    trap                    # trap.c; gives the frame with which to go on, perhaps another process's
        mov     %eax, %esp
restore:
        popa
        add     $8, %esp                # the vector and the error code
        RETURN_FROM_TRAP

# resume(frame): go on with a frame that no trap has made.
        .globl  resume
resume: mov     4(%esp), %esp
        jmp     restore
