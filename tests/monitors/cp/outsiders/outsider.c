/* A test kernel in the manner of those that others run under QEMU and KVM. It uses nothing of pvlab's.
 *
 * Under qemu-system-s390x -kernel … -device sclplmconsole,chardev=c -chardev stdio,id=c -device diag288
 * -watchdog-action inject-nmi -append tcg it says the same (QEMU without KVM knows neither X'10' nor X'258'). */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

extern int load_reset(u64 subcode);
extern char command_line[];

static volatile int program_expected, program_code, program_length, external_count, external_code, svc_number;
static volatile int sclp_busy;

#define LOW(type, at) (*(volatile type *)(u64)(at))
#define PSW_EXTERNAL (1ULL << 56)
#define PSW_PROBLEM (1ULL << 48)

void *memset(void *to, int value, unsigned long n)
{
    volatile u8 *p = to;
    while (n--)
        *p++ = value;
    return to;
}

void *memcpy(void *to, const void *from, unsigned long n)
{
    volatile u8 *p = to;
    const u8 *q = from;
    while (n--)
        *p++ = *q++;
    return to;
}

static u64 psw_mask(void)
{
    u32 high, low;
    __asm__ volatile("epsw %0, %1" : "=d"(high), "=a"(low));
    return (u64)high << 32 | low;
}

static void load_mask(u64 mask)
{
    struct { u64 mask, address; } psw = {mask, 0};
    u64 scratch;
    __asm__ volatile("larl %0, 0f\n stg %0, 8(%1)\n lpswe 0(%1)\n0:" : "=&d"(scratch) : "a"(&psw) : "memory", "cc");
}

static void set_cr0(u64 bits, int on)
{
    u64 value;
    __asm__ volatile("stctg %%c0, %%c0, %0" : "=Q"(value));
    value = on ? value | bits : value & ~bits;
    __asm__ volatile("lctlg %%c0, %%c0, %0" : : "Q"(value));
}

void on_program(void)
{
    set_cr0(1 << 28, 0);                /* or low core cannot be written */
    program_code = LOW(u16, 0x8E);
    program_length = LOW(u16, 0x8C);
    if (!program_expected)
        LOW(u64, 0x150) = 0x0002000180000000, LOW(u64, 0x158) = 0xBAD;     /* disabled wait */
    program_expected = 0;
    LOW(u64, 0x150) &= ~PSW_PROBLEM;
}

void on_external(void)
{
    external_code = LOW(u16, 0x86);
    external_count++;
    if (external_code == 0x2401)
        sclp_busy = 0;
    if (external_code == 0x1004 || external_code == 0x1005)
        LOW(u64, 0x130) &= ~PSW_EXTERNAL;
}

void on_svc(void)
{
    svc_number = LOW(u16, 0x8A);
}

/* ---- the service processor ---- */
static u8 sccb[4096] __attribute__((aligned(4096)));

static int service(u32 command, void *block)
{
    u64 r1 = command, r2 = (u64)block;
    int cc;
    set_cr0(0x200, 1);
    load_mask(psw_mask() | PSW_EXTERNAL);
    sclp_busy = 1;
    __asm__ volatile(".insn rre, 0xb2200000, %1, %2\n ipm %0\n srl %0, 28" : "=&d"(cc) : "d"(r1), "a"(r2) : "cc", "memory");
    if (!cc)
        while (sclp_busy)
            __asm__ volatile("" : : : "memory");
    load_mask(psw_mask() & ~PSW_EXTERNAL);
    return cc;
}

static u8 ebcdic(char c)
{
    if (c >= 'a' && c <= 'i') return 0x81 + c - 'a';
    if (c >= 'j' && c <= 'r') return 0x91 + c - 'j';
    if (c >= 's' && c <= 'z') return 0xA2 + c - 's';
    if (c >= 'A' && c <= 'I') return 0xC1 + c - 'A';
    if (c >= 'J' && c <= 'R') return 0xD1 + c - 'J';
    if (c >= 'S' && c <= 'Z') return 0xE2 + c - 'S';
    if (c >= '0' && c <= '9') return 0xF0 + c - '0';
    return c == ':' ? 0x7A : c == '=' ? 0x7E : c == ',' ? 0x6B : c == '.' ? 0x4B : 0x40;
}

static void print(const char *line)
{
    u32 n = 0;
    while (line[n])
        n++;
    memset(sccb, 0, sizeof sccb);
    u8 *event = sccb + 8, *mdb = event + 6, *go = mdb + 12, *text = go + 44;
    *(u16 *)sccb = 8 + 6 + 12 + 44 + 10 + n;
    *(u16 *)event = 6 + 12 + 44 + 10 + n;
    event[2] = 2;
    *(u16 *)mdb = 12 + 44 + 10 + n;
    *(u16 *)(mdb + 2) = 1;
    *(u32 *)(mdb + 4) = 0xD4C4C240;
    *(u32 *)(mdb + 8) = 1;
    *(u16 *)go = 44;
    *(u16 *)(go + 2) = 1;
    *(u16 *)text = 10 + n;
    *(u16 *)(text + 2) = 4;
    *(u16 *)(text + 4) = 0x1000;
    for (u32 i = 0; i < n; i++)
        text[10 + i] = ebcdic(line[i]);
    service(0x00760005, sccb);
}

static void report(const char *what, int ok)
{
    static char line[100];
    char *p = line;
    for (const char *s = ok ? "PASS: " : "FAIL: "; *s; s++)
        *p++ = *s;
    for (; *what; what++)
        *p++ = *what;
    *p = 0;
    print(line);
}

#define EXPECT(what, code, statement) do { \
        program_expected = 1; program_code = 0; \
        statement; \
        report(what, program_code == (code)); program_expected = 0; \
    } while (0)

static void problem_state(void)
{
    load_mask(psw_mask() | PSW_PROBLEM);
}

/* ---- the tests ---- */
static int asked(const char *word)
{
    for (const char *p = command_line; *p; p++) {
        const char *q = p, *w = word;
        while (*w && *q == *w)
            q++, w++;
        if (!*w)
            return 1;
    }
    return 0;
}

static u8 pages[4 * 4096] __attribute__((aligned(8192)));
static u64 token = 0x1122334455667788;

static void diag10(u64 first, u64 last)
{
    __asm__ volatile("diag %0, %1, 0x10" : : "a"(first), "a"(last) : "memory");
}

static u64 diag258(void *block)
{
    u64 rc = -1;
    __asm__ volatile("diag %1, %0, 0x258" : "+d"(rc) : "a"(block) : "cc", "memory");
    return rc;
}

static void diag288(u64 function, u64 seconds, u64 action)
{
    register u64 f __asm__("0") = function;
    register u64 s __asm__("1") = seconds;
    register u64 a __asm__("2") = action;
    __asm__ volatile("diag %0, %2, 0x288" : : "d"(f), "d"(s), "d"(a));
}

static void facilities(void)
{
    static u64 list[4];
    register u64 room __asm__("0") = 3;
    int cc;
    LOW(u32, 200) = 0;
    __asm__ volatile("stfl 0" : : : "memory");
    __asm__ volatile("stfle 0(%2)\n ipm %0\n srl %0, 28" : "=&d"(cc), "+d"(room) : "a"(list) : "cc", "memory");
    report("stfl: z Architecture", (LOW(u32, 200) & 0x60000000) == 0x60000000);
    report("stfle agrees with stfl", cc == 0 && (u32)(list[0] >> 32) == LOW(u32, 200));
    report("stfle: long displacement, extended immediate", (list[0] >> 45 & 1) && (list[0] >> 42 & 1));
    u64 id = 0;
    u16 address = 0xFFFF;
    __asm__ volatile("stidp %0" : "=Q"(id));
    __asm__ volatile("stap %0" : "=Q"(address));
    report("stidp and stap", (id >> 16 & 0xFFFF) && address == 0);
    register u64 r0 __asm__("0") = 0;
    register u64 r1 __asm__("1") = 0;
    __asm__ volatile("stsi 0(%2)\n ipm %1\n srl %1, 28" : "+d"(r0), "+d"(r1) : "a"(0) : "cc");
    report("stsi: level 3", r0 >> 28 == 3 && r1 == 0);
    r0 = 3ULL << 28 | 2, r1 = 2;
    __asm__ volatile("stsi 0(%2)" : "+d"(r0), "+d"(r1) : "a"(pages) : "cc", "memory");
    report("stsi: one virtual machine", pages[31] == 1);
    memset(sccb, 0, sizeof sccb);
    *(u16 *)sccb = 4096;
    report("sclp: read scp info", service(0x00120001, sccb) == 0 && *(u16 *)(sccb + 6) == 0x10);
    report("sclp: storage and cpus", *(u16 *)(sccb + 8) && sccb[10] && *(u16 *)(sccb + 16) >= 1);
    *(u16 *)sccb = 4096;
    service(0xDEAD0001, sccb);
    report("sclp: unknown command", *(u16 *)(sccb + 6) == 0x01F0);
    *(u16 *)sccb = 16;
    service(0x00020001, sccb);
    report("sclp: too short", *(u16 *)(sccb + 6) == 0x0300);
}

static void programs(void)
{
    EXPECT("operation", 1, __asm__ volatile(".insn e, 0x0000"));
    report("instruction length", program_length == 2);
    EXPECT("addressing", 5, *(volatile u32 *)-1ULL = 1);
    EXPECT("specification", 6, __asm__ volatile(".insn rxy, 0xe3000000008f, 7, 0(%0)" : : "a"(pages) : "7", "8"));
    EXPECT("privileged: stap", 2, problem_state(); __asm__ volatile("stap 0(%0)" : : "a"(pages) : "memory"));
    EXPECT("privileged: lpswe", 2, problem_state(); __asm__ volatile("lpswe 0(%0)" : : "a"(pages)));
    EXPECT("privileged: diagnose", 2, problem_state(); __asm__ volatile("diag 0, 0, 0x44"));
    EXPECT("stpx not aligned", 6, __asm__ volatile("stpx 0(%0)" : : "a"(1)));
    EXPECT("stpx beyond storage", 5, __asm__ volatile("stpx 0(%0)" : : "a"(-8L)));
    set_cr0(1 << 28, 1);
    EXPECT("low-address protection", 4, __asm__ volatile("stap 0(%0)" : : "a"(8)));
    set_cr0(1 << 28, 0);
    EXPECT("divide", 9, __asm__ volatile("lghi 2, 0\n lghi 3, 1\n lghi 4, 0\n dlgr 2, 4" : : : "2", "3", "4", "cc"));
    EXPECT("execute of execute", 3, __asm__ volatile("larl 1, 0f\n j 1f\n0: ex 0, 0(1)\n1: ex 0, 0(1)" : : : "1"));
    __asm__ volatile("svc 42");
    report("supervisor call", svc_number == 42);
}

static void clocks(void)
{
    u64 now, then, left;
    __asm__ volatile("stck %0" : "=Q"(now) : : "cc");
    __asm__ volatile("stck %0" : "=Q"(then) : : "cc");
    report("the clock goes on", then > now);
    then += 100 << 12;
    __asm__ volatile("sckc %0" : : "Q"(then));
    set_cr0(0x800, 1);
    external_count = 0;
    load_mask(psw_mask() | PSW_EXTERNAL);
    while (!external_count)
        __asm__ volatile("" : : : "memory");
    set_cr0(0x800, 0);
    __asm__ volatile("stck %0" : "=Q"(now) : : "cc");
    report("clock comparator", external_code == 0x1004 && now > then);
    left = 1000 << 12;
    __asm__ volatile("spt %0" : : "Q"(left));
    __asm__ volatile("stpt %0" : "=Q"(left));
    report("cpu timer", left <= 1000 << 12);
    set_cr0(0x400, 1);
    external_count = 0;
    load_mask(psw_mask() | PSW_EXTERNAL);
    while (!external_count)
        __asm__ volatile("" : : : "memory");
    set_cr0(0x400, 0);
    report("cpu timer runs out", external_code == 0x1005);
}

static void diagnoses(void)
{
    pages[4096] = 1;
    EXPECT("diag 10: page 0", 6, diag10(0, 0));
    EXPECT("diag 10: end below start", 6, diag10((u64)pages + 4096, (u64)pages));
    EXPECT("diag 10: not aligned", 6, diag10((u64)pages + 42, (u64)pages + 4096));
    EXPECT("diag 10: problem state", 2, problem_state(); diag10((u64)pages, (u64)pages));
    if (!asked("tcg")) {
        diag10((u64)pages + 4096, (u64)pages + 4096);
        report("diag 10: reads as zero", pages[4096] == 0);
    }
    EXPECT("diag 288: odd register", 6, __asm__ volatile("diag 1, 2, 0x288"));
    EXPECT("diag 288: unsupported action", 6, diag288(0, 15, 42));
    EXPECT("diag 288: nothing to cancel", 6, diag288(2, 15, 0));
    EXPECT("diag 288: below 15 seconds", 6, diag288(0, 14, 0));
    EXPECT("diag 308: subcode 2", 6, __asm__ volatile("diag %0, %1, 0x308" : : "d"(0L), "d"(2L)));
    EXPECT("diag 308: subcode ffff", 6, __asm__ volatile("diag %0, %1, 0x308" : : "d"(0L), "d"(0xFFFFL)));
    report("diag 308: reset", load_reset(1));
    report("diag 308: reset with clear", load_reset(0));
    EXPECT("unknown code", 6, __asm__ volatile("diag 0, 0, 0x3ff"));
}

static void page_references(void)
{
    struct { u16 code, function, length, version; u64 token, select, compare, zarch; }
        establish = {0x258, 0, 5, 2, (u64)&token, 0, 0, 1ULL << 63}, cancel = {0x258, 1, 5, 2, 0, 0, 0, 0},
        wrong = {0xC0FE, 0, 5, 2, (u64)&token, 0, 0, 1ULL << 63};
    EXPECT("diag 258: outside storage", 5, diag258((void *)-16ULL));
    EXPECT("diag 258: wrong code", 6, diag258(&wrong));
    report("diag 258: established", diag258(&establish) == 0);
    report("diag 258: again", diag258(&establish) == 8);
    report("diag 258: cancelled", diag258(&cancel) == 0);
    report("diag 258: nothing to cancel", diag258(&cancel) == 4);
}

static void watchdog(void)
{
    LOW(u64, 0x1A0) = psw_mask() & ~PSW_EXTERNAL;
    diag288(0, 15, 0);
    __asm__ volatile("larl 0, 1f\n stg 0, 0x1a8\n0: nop\n j 0b\n1:" : : : "0", "memory");
    report("diag 288: restart", 1);
}

void finish(void)
{
    for (;;) {
        u16 address;
        __asm__ volatile("stap %0" : "=Q"(address));
        __asm__ volatile("lghi 1, 0\n sigp 1, %0, 5" : : "d"((u64)address) : "1", "cc");
    }
}

int main(void)
{
    memset(sccb, 0, sizeof sccb);
    *(u16 *)sccb = 28;
    *(u16 *)(sccb + 10) = 4;
    *(u32 *)(sccb + 16) = 1u << 30;
    service(0x00780005, sccb);
    report("sclp: event mask", *(u16 *)(sccb + 6) == 0x20 && (*(u32 *)(sccb + 20) & 1u << 30));
    facilities();
    programs();
    clocks();
    diagnoses();
    if (!asked("tcg"))
        page_references();
    watchdog();
    print("done.");
    return 0;
}
