/* The disk workloads: the same sectors, whichever disk they come from or go to. */
#include <pvlab.h>
#include "ops.h"
#include "drivers.h"

#define WINDOW          1024            /* sectors that the buffer keeps: the last ones that came by */

static const struct disk *const disks[] = { &ata, &ata_string, &virtio_block };
char *disk_buffer;

/* A sum that depends on every bit and on the order. */
uint32_t checksum(uint32_t sum, const void *data, uint32_t size)
{
    const uint32_t *word = data;
    for (; size >= 4; size -= 4)
        sum = (sum << 5 | sum >> 27) ^ *word++;
    for (const uint8_t *byte = (const uint8_t *)word; size; size--)
        sum = (sum << 5 | sum >> 27) ^ *byte++;
    return sum;
}

/* What the workload writes: every word of every sector is another. */
static void fill(void *data, uint32_t sector, uint32_t count)
{
    uint32_t *word = data, number = sector * (SECTOR / 4);
    for (uint32_t i = 0; i < count * (SECTOR / 4); i++)
        *word++ = number++ * 2654435761u;
}

static uint32_t least(uint32_t one, uint32_t other) { return one < other ? one : other; }

/* Transfer n sectors, `batch` of them by each request, and `depth` requests before waiting for them. */
static void transfer(uint32_t n, int write)
{
    uint32_t batch = pv_param("batch", 1), depth = pv_param("depth", 1), sum = 0, sectors = 0;
    const struct disk *disk = NULL;
    for (uint32_t i = 0; i < sizeof disks / sizeof *disks; i++)
        if (pv_param_is("device", disks[i]->name))
            disk = disks[i];
    if (!disk || !(sectors = disk->open()))
        panic("no such disk; devices known", sizeof disks / sizeof *disks);
    disk_buffer = pages_take(WINDOW * SECTOR / PAGE_SIZE);

    for (uint32_t at = 0; at < n;) {
        uint32_t first = at;
        for (uint32_t i = 0; i < depth && at < n && at - first + batch <= WINDOW; i++) {
            uint32_t count = least(least(batch, n - at), least(sectors - at % sectors, WINDOW - at % WINDOW));
            char *data = disk_buffer + at % WINDOW * SECTOR;
            if (write)
                fill(data, at, count);
            disk->submit(write, at % sectors, count, data);
            at += count;
        }
        disk->finish();
        for (uint32_t i = first; i < at; i++)
            sum = checksum(sum, disk_buffer + i % WINDOW * SECTOR, SECTOR);
    }
    if (write)
        disk->flush();
    done(n, sum);
}

void disk_read(uint32_t n) { transfer(n, 0); }
void disk_write(uint32_t n) { transfer(n, 1); }
