/* Hello, three ways: by a channel program for the console, by the service processor, and by asking the control program.
 *
 * The first two run on a real machine as well. The third is a DIAGNOSE, which on a real machine means something else,
 * so a guest that cares looks first whether there is a control program (STIDP stores X'FF'). */
#include "channel.h"

enum { CONSOLE = 0x009, WRITE_AND_RETURN = 0x09 };

static uint8_t text[] = "hello, world";
static const char command[] = "MESSAGE * hello, world";

static int by_channel(void)
{
    uint32_t subchannel = channel_open(CONSOLE);
    struct ccw program = {WRITE_AND_RETURN, 0, sizeof text - 1, (uint32_t)(uintptr_t)text};
    pv_to_ebcdic(text, sizeof text - 1);
    return subchannel ? channel_run(subchannel, &program) : 1;
}

static int by_service_processor(void)
{
    pv_puts("hello, world\n");
    return 0;
}

static int by_diagnose(void)
{
    uint64_t processor;
    __asm__ volatile("stidp %0" : "=Q"(processor));
    if (processor >> 56 != 0xFF)
        return 2;
    uint8_t asked[sizeof command];
    memcpy(asked, command, sizeof command);
    pv_to_ebcdic(asked, sizeof command - 1);
    struct diagnose registers = {.rx = (uintptr_t)asked, .ry = sizeof command - 1};
    PV_DIAGNOSE(0x8, &registers);
    return (int)registers.ry;
}

int main(void)
{
    if (pv_param_is("by", "sclp"))
        return by_service_processor();
    if (pv_param_is("by", "diagnose"))
        return by_diagnose();
    return by_channel();
}
