/* The service processor's line-mode console: Linux drivers/s390/char/sclp_rw.c and kvm-unit-tests lib/s390x/sclp.h use
 * it so. Each service call ends with an external interruption, X'2401'. */
#include <pvlab.h>

enum {
    WRITE_EVENT_DATA = 0x00760005,
    WRITE_EVENT_MASK = 0x00780005,
    MESSAGE = 2,                    /* the type of event */
    SERVICE_SIGNAL = 0x2401,
    SERVICE_MASK = 0x200,           /* of control register 0 */
    LINE = 120,
};

struct message {
    uint16_t length;                /* the control block's header */
    uint8_t function, control[3];
    uint16_t response;
    uint16_t event_length;          /* an event buffer */
    uint8_t type, flags;
    uint16_t reserved;
    uint16_t block_length, block_type;      /* a message data block: its header */
    uint32_t tag, revision;
    uint16_t object_length, object_type;    /* its general object, all of it empty */
    uint8_t general[52];
    uint16_t text_length, text_type, line_type;     /* and one line of text */
    uint8_t alarm, zeros[3];
    uint8_t text[LINE];
} __attribute__((packed));

static struct {
    uint16_t length;
    uint8_t function, control[3];
    uint16_t response, reserved, mask_length;
    uint32_t receive, send, sclp_receives, sclp_sends;
} mask __attribute__((aligned(64)));

static struct message message __attribute__((aligned(256)));
static char line[LINE];
static unsigned used;

static volatile int signalled;

int pv_service_signal(void)
{
    volatile struct low_core *low = low_core();
    if (low->external_code != SERVICE_SIGNAL)
        return 0;
    signalled = 1;
    pv_wake(&low->external_old);
    return 1;
}

static void service_call(uint32_t command, void *block)
{
    uint64_t masks = PV_STCTG(0);
    int cc;
    PV_LCTLG(0, masks | SERVICE_MASK);
    signalled = 0;
    do
        __asm__ volatile(".insn rre, 0xb2200000, %1, %2\n\t"      /* SERVC, which the assembler does not know */
                         "ipm %0\n\tsrl %0, 28" : "=d"(cc) : "d"(command), "d"(block) : "cc", "memory");
    while (cc == 2);
    while (cc == 0 && !signalled)
        pv_wait(PSW_EXTERNAL);
    PV_LCTLG(0, masks);
}

void pv_flush(void)
{
    if (!used)
        return;
    if (!mask.length) {
        mask.length = sizeof mask, mask.mask_length = 4, mask.send = 1u << (32 - MESSAGE);
        service_call(WRITE_EVENT_MASK, &mask);
    }
    memset(&message, 0, sizeof message);
    uint16_t spare = LINE - used;
    message.length = sizeof message - spare;
    message.event_length = message.length - 8, message.type = MESSAGE;
    message.block_length = message.event_length - 6, message.block_type = 1;
    message.tag = 0xD4C4C240, message.revision = 1;         /* "MDB " in EBCDIC */
    message.object_length = 4 + sizeof message.general, message.object_type = 1;
    message.text_length = 10 + used, message.text_type = 4, message.line_type = 0x1000;    /* the end of a text */
    memcpy(message.text, line, used);
    pv_to_ebcdic(message.text, used);
    used = 0;
    service_call(WRITE_EVENT_DATA, &message);
}

void pv_putc(char character)
{
    if (character == '\n' && !used)
        line[used++] = ' ';
    if (character != '\n')
        line[used++] = character;
    if (character == '\n' || used == LINE)
        pv_flush();
}
