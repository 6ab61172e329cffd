/* Virtio over MMIO, the driver's side (virtio 1.2, chapters 2 to 4): what its drivers share. */
#ifndef VIRTIO_H
#define VIRTIO_H

#include "drivers.h"

#define VIRTIO_BASE     0xFEB00000      /* the devices' registers, every 512 bytes */
#define QUEUE_MAX       256

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};
enum { NEXT = 1, DEVICE_WRITES = 2, INDIRECT = 4 };

/* A virtqueue whose buffers have so many parts at most. Buffer i is described by the descriptors from i * parts on, or,
 * if indirect, by a table of its own to which descriptor i points. */
struct queue {
    volatile uint32_t *registers;
    uint32_t number, size, parts, buffers;      /* entries; parts of a buffer; how many buffers there can be */
    struct descriptor *descriptors, *tables;
    volatile uint16_t *available, *used;        /* flags, index, entries, and behind them the other side's event */
    uint16_t added, told, seen;                 /* buffers given; given when we last thought of a kick; taken back */
};

volatile uint32_t *virtio_find(uint32_t kind, uint32_t line, void (*interrupt)(void));
void virtio_acknowledge(volatile uint32_t *registers);
void virtio_start(volatile uint32_t *registers);
void queue_open(struct queue *queue, volatile uint32_t *registers, uint32_t number, uint32_t parts);
void queue_describe(struct queue *queue, uint32_t buffer, uint32_t part, const void *data, uint32_t length, int how);
void queue_add(struct queue *queue, uint32_t buffer);
void queue_kick(struct queue *queue);
int queue_ready(struct queue *queue);
uint32_t queue_take(struct queue *queue, uint32_t *length);
void queue_interrupt_after(struct queue *queue, uint32_t count);
#endif
