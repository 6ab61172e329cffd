/* What drivers for devices share, and what each kind of device is to the kernel. */
#ifndef DRIVERS_H
#define DRIVERS_H

#include "kernel.h"

/* lines.c: a handler for one of the sixteen interrupt lines. It runs with interrupts off. */
void line_on(uint32_t line, void (*handler)(void));
int line_interrupt(uint32_t line);

/* Let interrupts come, and the CPU rest, until something is so. Interrupts are off whenever it looks, and afterwards. */
#define WAIT_UNTIL(condition)       \
    do {                            \
        interrupts_off();           \
        while (!(condition)) {      \
            safe_halt();            \
            interrupts_off();       \
        }                           \
    } while (0)

/* What the CPU has written to memory must be there before what it writes next. On this CPU it is, so only the compiler
 * needs to be told. But a read may overtake a write, unless a locked instruction stands between the two. */
#define BARRIER()       __asm__ volatile("" : : : "memory")
#define FULL_BARRIER()  __asm__ volatile("lock; orl $0, (%%esp)" : : : "memory", "cc")

/* A disk. Sectors have SECTOR bytes. */
#define SECTOR          512
struct disk {
    const char *name;
    uint32_t (*open)(void);             /* gives its sectors; 0: there is no such disk */
    void (*submit)(int write, uint32_t sector, uint32_t count, void *data);
    void (*finish)(void);               /* waits until all that was submitted is done */
    void (*flush)(void);                /* returns when all that was written is safe */
};
extern const struct disk ata, ata_string, virtio_block;

/* A network card. */
#define FRAME_MAX       1514
struct net {
    const char *name;
    int (*open)(uint8_t *address);      /* gives its address; 0: there is no such card */
    uint8_t *(*buffer)(void);           /* waits for a place for the next frame to be sent */
    void (*queue)(uint32_t size);       /* the frame is there */
    void (*send)(void);                 /* all that was queued may leave */
    void (*drain)(void);                /* waits until all has left */
    const uint8_t *(*receive)(uint32_t *size);  /* waits for a frame */
    void (*release)(void);              /* the frame received last is not needed any more */
    void (*refill)(void);               /* all that was released may be filled again */
};
extern const struct net e1000, virtio_net;

/* A console other than the debug port, for what programs print. */
struct console {
    const char *name;
    int (*open)(void);                  /* 0: there is no such console */
    void (*write)(const char *bytes, uint32_t size);
};
extern const struct console uart, virtio_console;
extern void (*console_write)(const char *bytes, uint32_t size);
void console_open(void);

/* disk.c and net.c: the workloads */
void disk_read(uint32_t n);
void disk_write(uint32_t n);
void net_send(uint32_t n);
void net_receive(uint32_t n);
uint32_t checksum(uint32_t sum, const void *data, uint32_t size);
#endif
