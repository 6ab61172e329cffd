/* Reading the command line: "workload=syscall n=1000". */
#include <pvlab.h>

const char *pv_command_line = "";

const char *pv_param_text(const char *name)
{
    const char *word = pv_command_line;
    while (*word) {
        const char *here = word, *letter = name;
        while (*letter && *here == *letter) {
            here++;
            letter++;
        }
        if (!*letter && *here == '=')
            return here + 1;
        while (*word && *word != ' ')
            word++;
        while (*word == ' ')
            word++;
    }
    return NULL;
}

int pv_param_is(const char *name, const char *text)
{
    const char *value = pv_param_text(name);
    if (!value)
        return 0;
    while (*text && *value == *text) {
        value++;
        text++;
    }
    return !*text && (!*value || *value == ' ');
}

uint32_t pv_param(const char *name, uint32_t fallback)
{
    const char *value = pv_param_text(name);
    if (!value || !*value || *value == ' ')
        return fallback;
    uint32_t base = 10, number = 0;
    if (value[0] == '0' && (value[1] | 32) == 'x' && value[2] && value[2] != ' ') {
        base = 16;
        value += 2;
    }
    for (; *value && *value != ' '; value++) {
        uint32_t lower = (uint32_t)*value | 32;
        uint32_t digit = lower - '0' < 10 ? lower - '0' : lower - 'a' < 6 ? lower - 'a' + 10 : 16;
        if (digit >= base)
            return fallback;
        number = number * base + digit;
    }
    return number;
}
