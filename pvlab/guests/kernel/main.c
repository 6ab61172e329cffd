/* The kernel from its first line of C to its last report. */
#include <pvlab.h>
#include "ops.h"

PV_RESULT static struct { uint32_t count, answer; } result;
static const struct workload *workload;
static char command_line[256];

/* The boot information: flags first, bit 2 of which says that the fifth word points to a command line. Copy it before
 * memory is used for anything: it may lie anywhere in it. */
static void read_command_line(uint32_t *information)
{
    if (!(information[0] & 4))
        return;
    const char *from = VIRTUAL(information[4]);
    for (uint32_t i = 0; i < sizeof command_line - 1 && from[i]; i++)
        command_line[i] = from[i];
    pv_command_line = command_line;
}

void kernel_main(uint32_t information)
{
    read_command_line(VIRTUAL(information));
    load_cr3(kernel_root);              /* without the mapping at 0, which only the boot code needed */
    traps_init();
    interrupts_init();
    memory_init();

    for (workload = workloads; workload->name; workload++)
        if (pv_param_is("workload", workload->name))
            workload->start(pv_param("n", 1000));   /* and this was the last: it ends in done() */
    print("kernel panic: unknown workload in the command line '");
    print(command_line);
    print("'\n");
    power_off(1);
}

/* The workload's end: report and switch off. */
void done(uint32_t count, uint32_t answer)
{
    result.count = count;
    result.answer = answer;
    print(workload->name);
    print(":");
    print_number(count);
    print(" ");
    print(workload->unit);
    print(", ");
    print(workload->answer);
    print(" ");
    print_hex(answer);
    print("\n");
    power_off(0);
}

void panic(const char *what, uint32_t value)
{
    print("kernel panic: ");
    print(what);
    print(" ");
    print_hex(value);
    print("\n");
    power_off(1);
}
