# The ways in and out that C cannot express.

        .text

# attempt(probe, seen): call probe(seen). Gives 0, or 1 + the number of the exception that ended it.
        .globl  attempt
attempt:
        push    %ebp
        push    %ebx
        push    %esi
        push    %edi
        mov     %esp, safe_stack        # where the stack is when the probe is over, however it ends
        push    24(%esp)                # seen: above four registers and the return address there is probe, then seen
        call    *24(%esp)               # probe: the push has moved it by four
        xor     %eax, %eax
leave:  mov     safe_stack, %esp
        pop     %edi
        pop     %esi
        pop     %ebx
        pop     %ebp
        ret

# Exceptions 0 to 31, 16 bytes apart: give up the probe. What the CPU has pushed is given up with it.
        .globl  fault_stubs
        .align 16
fault_stubs:
        .set    number, 0
        .rept   32
        mov     $number + 1, %eax
        jmp     leave
        .align 16
        .set    number, number + 1
        .endr

# The interrupt that asks what the kernel's flags and CS are: they were saved above EIP.
        .globl  trusted_stub
trusted_stub:
        mov     4(%esp), %edx
        mov     8(%esp), %eax
        iret

# The target of far calls: a far call saved CS above EIP.
        .globl  gate_target
gate_target:
        mov     4(%esp), %eax
        lret

        .bss
        .align 4
safe_stack:
        .skip   4
