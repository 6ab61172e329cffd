/* A conversation: a line is read from the console, CP is asked what it says to that, and its response is printed. The
 * line LOGOFF ends it. Reading and printing are channel programs; asking is one DIAGNOSE. */
#include "channel.h"

enum { CONSOLE = 0x009, READ_INQUIRY = 0x0A, WRITE = 0x01, LINE = 132, RESPONSE = 4096, IN_BUFFER = 0x40000000 };

static uint8_t line[LINE], response[RESPONSE] __attribute__((aligned(8)));

static int is_logoff(uint32_t size)
{
    uint8_t text[] = "LOGOFF";
    pv_to_ebcdic(text, 6);
    return size == 6 && !memcmp(line, text, 6);
}

int main(void)
{
    uint32_t console = channel_open(CONSOLE);
    if (!console)
        return 1;
    for (;;) {
        struct ccw read = {READ_INQUIRY, SUPPRESS_LENGTH, LINE, (uint32_t)(uintptr_t)line};
        if (channel_run(console, &read))
            return 2;
        uint32_t size = LINE - channel_status.count;
        if (is_logoff(size))
            return 0;
        /* Ry and Ry+1 must not follow Rx and Rx+1: registers 2, 3 and 4, 5 would. */
        register void *rx __asm__("2") = line, *buffer __asm__("3") = response;
        register uint64_t ry __asm__("6") = IN_BUFFER | size, room __asm__("7") = RESPONSE;
        int cc;
        __asm__ volatile("diag %%r2, %%r6, 8\n\tipm %0\n\tsrl %0, 28"
                         : "=d"(cc), "+d"(ry), "+d"(room)
                         : "d"(rx), "d"(buffer)
                         : "cc", "memory");
        if (cc)                             /* cut off: as much as there was room for */
            room = RESPONSE;
        struct ccw print = {WRITE, SUPPRESS_LENGTH, (uint16_t)(uint32_t)room, (uint32_t)(uintptr_t)response};
        if ((uint32_t)room && channel_run(console, &print))
            return 3;
    }
}
