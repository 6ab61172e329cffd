# hello: the smallest guest that does something. It prints a line and switches its machine off.
#
# It begins at main: the runtime (runtime/start.S) has set up a stack and calls it. There is no operating system here,
# nothing to ask for help, so the program itself speaks to the devices, through their ports.

        .globl  main
main:   mov     $message, %esi          # ESI points to the next character
next:   mov     (%esi), %al             # fetch it
        test    %al, %al                # is it the zero that ends the text?
        jz      end
        out     %al, $0xE9              # no: port 0xE9 is the console, and each byte sent there is printed
        inc     %esi
        jmp     next

end:    xor     %eax, %eax              # zero says that all went well
        out     %al, $0xF4              # port 0xF4 is the power switch
        hlt                             # never reached: the machine is off

message:
        .asciz  "hello, world\n"
