# The first instructions of a small guest: what stands between the boot loader and main().
#
# The machine boots as the Multiboot specification says: 32-bit protected mode, flat segments, ring 0, paging and
# interrupts off, and EBX holding the physical address of a block of boot information.

        .section .multiboot, "a"
        .align 4
        .long 0x1BADB002                # the magic number by which a boot loader knows a Multiboot kernel
        .long 0                         # flags: no wishes
        .long -0x1BADB002               # the three words add up to zero

        .section .text.start, "ax"      # on its own, so that it is left out where nothing needs it
        .weak _start                    # a guest that brings its own _start takes this one's place
_start: mov     $stack_top, %esp
        testl   $4, (%ebx)              # does the boot information have a command line?
        jz      1f
        mov     16(%ebx), %eax          # its physical address, which is its address: paging is off
        mov     %eax, pv_command_line
1:      call    main
        out     %eax, $0xF4             # main's return value is the status with which the machine switches off
2:      hlt                             # not reached, unless the machine has no power port
        jmp     2b

        .bss
        .align 16
stack:  .skip   65536
stack_top:
