/* Channel I/O as a small operating system does it: one subchannel for each device, start, wait, test. */
#ifndef S390X_CHANNEL_H
#define S390X_CHANNEL_H

#include <pvlab.h>

struct ccw {                        /* format 1 */
    uint8_t command, flags;
    uint16_t count;
    uint32_t address;
} __attribute__((aligned(8)));

enum { CHAIN_DATA = 0x80, CHAIN_COMMAND = 0x40, SUPPRESS_LENGTH = 0x20 };

struct schib {
    uint32_t parameter;
    uint16_t flags, device;
    uint32_t rest[11];
} __attribute__((aligned(4)));

struct irb {
    uint16_t flags, control;
    uint32_t address;
    uint8_t device_status, status;
    uint16_t count;
    uint32_t rest[13];
} __attribute__((aligned(4)));

struct orb {
    uint32_t parameter;
    uint16_t control;               /* 0x0080: format-1 CCWs */
    uint8_t path_mask, control2;
    uint32_t program;
} __attribute__((aligned(4)));

/* Find the subchannel of the device with this number and enable it. Its subsystem-identification word, or 0. */
uint32_t channel_open(uint16_t device);

/* Run a channel program and wait for its end. 0 if the device ended as it should; else the two status bytes. */
int channel_run(uint32_t subchannel, struct ccw *program);

/* The status of the program that ended last. */
extern struct irb channel_status;

#endif
