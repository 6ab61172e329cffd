/* A screen of 22 lines: by 22 channel programs, by one whose CCWs are chained, or by one DIAGNOSE X'58'. */
#include "channel.h"

enum { CONSOLE = 0x009, WRITE_AND_RETURN = 0x09, LINES = 22, COLUMNS = 80, DISPLAY = 0x19 };

static uint8_t screen[LINES][COLUMNS];

static void compose(void)
{
    static const char text[] = "line 00 of a screen of 22";
    memset(screen, ' ', sizeof screen);
    for (uint32_t i = 0; i < LINES; i++) {
        memcpy(screen[i], text, sizeof text - 1);
        screen[i][5] = (uint8_t)('0' + (i + 1) / 10), screen[i][6] = (uint8_t)('0' + (i + 1) % 10);
    }
    pv_to_ebcdic(screen[0], sizeof screen);
}

static int by_channel(int chained)
{
    static struct ccw program[LINES];
    uint32_t console = channel_open(CONSOLE);
    for (uint32_t i = 0; i < LINES; i++)
        program[i] = (struct ccw){WRITE_AND_RETURN, chained && i + 1 < LINES ? CHAIN_COMMAND : 0, 25,
                                  (uint32_t)(uintptr_t)screen[i]};
    if (chained)
        return channel_run(console, program);
    for (uint32_t i = 0; i < LINES; i++)
        if (channel_run(console, &program[i]))
            return 1;
    return 0;
}

int main(void)
{
    compose();
    if (!pv_param_is("by", "x58"))
        return by_channel(pv_param_is("by", "chained"));
    /* A format-0 CCW with a control byte in the place that it leaves free: from line 0 on. */
    uint64_t ccw = (uint64_t)DISPLAY << 56 | (uint64_t)(uintptr_t)screen << 32 | SUPPRESS_LENGTH << 24 | sizeof screen;
    struct diagnose registers = {.rx = (uintptr_t)&ccw, .ry = CONSOLE};
    return PV_DIAGNOSE(0x58, &registers);
}
