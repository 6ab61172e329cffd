/* Copy blocks from disk 190 to disk 191, `batch` of them with each request, in one of four ways:
 *
 *     channel     a channel program, started by SSCH; its end is an I/O interruption
 *     x18, x20    a channel program of the same commands, in one DIAGNOSE
 *     x250        block numbers and buffers, in one DIAGNOSE, and no channel program
 *
 * The bytes are the same each time. Their checksum is the result. */
#include "channel.h"

enum {
    FROM = 0x190, TO = 0x191, BLOCK = 2048, RECORDS = 6, HEADS = 19, CYLINDER = RECORDS * HEADS,
    MOST = 256, LONGEST_PROGRAM = 15,
    SEEK = 0x07, SEARCH_ID_EQUAL = 0x31, TRANSFER_IN_CHANNEL = 0x08, READ_DATA = 0x06, WRITE_DATA = 0x05,
};

static uint8_t buffer[MOST][BLOCK] __attribute__((aligned(4096)));
static uint64_t program[4 * LONGEST_PROGRAM];
static uint8_t place[LONGEST_PROGRAM][8];   /* the argument of SEEK: 0, cylinder, head; from its byte 2, that of SEARCH */

PV_RESULT struct {
    uint64_t checksum, blocks;
} result;

/* ------------------------------------------------------------------------------------- channel programs */

static uint64_t ccw(int format1, uint64_t command, uint64_t flags, uint64_t count, void *address)
{
    uint64_t at = (uintptr_t)address;
    return format1 ? command << 56 | flags << 48 | count << 32 | at : command << 56 | at << 32 | flags << 24 | count;
}

/* SEEK, SEARCH ID EQUAL, TIC back to the search, and READ or WRITE: for each block. */
static void write_program(int format1, int command, uint32_t first, uint32_t count)
{
    uint64_t *next = program;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t block = first + i, track = block / RECORDS;
        uint8_t *argument = place[i];
        argument[0] = argument[1] = 0;
        argument[2] = (uint8_t)(track / HEADS >> 8), argument[3] = (uint8_t)(track / HEADS);
        argument[4] = 0, argument[5] = (uint8_t)(track % HEADS);
        argument[6] = (uint8_t)(block % RECORDS + 1);
        next[0] = ccw(format1, SEEK, CHAIN_COMMAND, 6, argument);
        next[1] = ccw(format1, SEARCH_ID_EQUAL, CHAIN_COMMAND, 5, argument + 2);
        next[2] = ccw(format1, TRANSFER_IN_CHANNEL, 0, 0, next + 1);
        next[3] = ccw(format1, (uint64_t)command, i + 1 < count ? CHAIN_COMMAND : 0, BLOCK, buffer[i]);
        next += 4;
    }
}

static uint32_t from, to;           /* subchannels */

static int channel_program(uint32_t device, uint32_t first, uint32_t count, int writing)
{
    write_program(1, writing ? WRITE_DATA : READ_DATA, first, count);
    return channel_run(device == FROM ? from : to, (struct ccw *)program);
}

/* ------------------------------------------------------------------------------------- DIAGNOSE */

static int diagnose_18(uint32_t device, uint32_t first, uint32_t count, int writing)
{
    write_program(0, writing ? WRITE_DATA : READ_DATA, first, count);
    register uint64_t rx __asm__("2") = device;
    register void *ry __asm__("4") = program;
    register uint64_t saved __asm__("7");
    int cc;
    __asm__ volatile("lgr %3, %%r15\n\tlgr %%r15, %4\n\tdiag %1, %2, 0x18\n\tlgr %%r15, %3\n\tipm %0\n\tsrl %0, 28"
                     : "=d"(cc), "+d"(rx), "+d"(ry), "=&d"(saved)
                     : "d"((uint64_t)count)
                     : "cc", "memory");
    return cc;
}

static int diagnose_20(uint32_t device, uint32_t first, uint32_t count, int writing)
{
    write_program(0, writing ? WRITE_DATA : READ_DATA, first, count);
    struct diagnose registers = {.rx = device, .ry = (uintptr_t)program};
    return PV_DIAGNOSE(0x20, &registers);
}

static struct {
    uint16_t device;
    uint8_t format, zeros[21];
    union {
        struct {
            uint32_t size, zero;
            int64_t offset;
            uint64_t first, last, zeros;
        } init;
        struct {
            uint8_t key, flags, zeros[2];
            uint32_t count, alet, zero;
            uint64_t parameter;
            void *entries;
            uint64_t zeros2;
        } rw;
    };
} list __attribute__((aligned(64)));

static struct {
    uint8_t type, status;
    uint16_t zero;
    uint32_t alet;
    uint64_t block;
    void *buffer;
} entry[MOST] __attribute__((aligned(8)));

static int block_io(uint32_t device, uint64_t function)
{
    list.device = (uint16_t)device, list.format = 0x80;
    struct diagnose registers = {.rx = (uintptr_t)&list, .ry = function};
    return PV_DIAGNOSE(0x250, &registers);
}

static int diagnose_250_init(uint32_t device)
{
    memset(&list, 0, sizeof list);
    list.init.size = BLOCK;
    return block_io(device, 0);
}

static int diagnose_250(uint32_t device, uint32_t first, uint32_t count, int writing)
{
    memset(&list, 0, sizeof list);
    for (uint32_t i = 0; i < count; i++) {
        entry[i].type = writing ? 1 : 2, entry[i].block = first + i + 1, entry[i].buffer = buffer[i];
    }
    list.rw.count = count, list.rw.entries = entry;
    return block_io(device, 1);
}

/* ------------------------------------------------------------------------------------- the copy */

static void add(uint32_t count)
{
    const uint64_t *words = (const uint64_t *)buffer;
    for (uint32_t i = 0; i < count * BLOCK / 8; i++)
        result.checksum = (result.checksum << 5 | result.checksum >> 59) ^ words[i];
    result.blocks += count;
}

int main(void)
{
    uint32_t n = pv_param("n", 16), batch = pv_param("batch", 1);
    int (*move)(uint32_t device, uint32_t first, uint32_t count, int writing) = channel_program;
    int one_cylinder = 0;
    if (pv_param_is("by", "x18")) {
        move = diagnose_18, one_cylinder = 1;
    } else if (pv_param_is("by", "x20")) {
        move = diagnose_20;
    } else if (pv_param_is("by", "x250")) {
        move = diagnose_250;
        if (diagnose_250_init(FROM) || diagnose_250_init(TO))
            return 1;
    } else if (!(from = channel_open(FROM)) || !(to = channel_open(TO))) {
        return 1;
    }
    for (uint32_t block = 0, count; block < n; block += count) {
        count = n - block < batch ? n - block : batch;
        if (one_cylinder && block % CYLINDER + count > CYLINDER)
            count = CYLINDER - block % CYLINDER;
        if (move(FROM, block, count, 0))
            return 2;
        add(count);
        if (move(TO, block, count, 1))
            return 3;
    }
    return 0;
}
