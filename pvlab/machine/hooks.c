/* The lab's native hooks: what the engine calls at every basic block and at every stop.
 *
 * They count guest instructions block by block, which costs a few nanoseconds where a Python callback would cost a
 * microsecond, and they stop the engine: at an instruction count, at an interrupt window, at an exception, and before
 * an instruction that the lab must see (IN, OUT, RDTSC). They decide nothing: Python reads `struct state` and does.
 *
 * How many instructions a block holds is asked of Python once, when the block is first seen. A block is known by the
 * return address of this hook, that is, by the translated code that called it: the same guest address in another
 * address space, or after the guest has overwritten it, is other translated code.
 */
typedef unsigned long long u64;
typedef unsigned int u32;

enum { RUNNING, EXCEPTION, INVALID, DEADLINE, POINT, RETRANSLATE, WINDOW, UNMAPPED, ENGINE_ERROR, ABORTED, INTERRUPTED };
enum { NOTHING, KNOWN, NEW_POINTS };  /* what Python answers */
enum { BLOCKS = 1 << 16 };
enum { TRANSLATION = 1000 };  /* what translating a block weighs: some microseconds, against nanoseconds */
static const u64 NOWHERE = ~0ULL;

struct block {
    u64 key;          /* where its translated code calls us; 0: free */
    u64 address;      /* its first instruction, guest-virtual */
    u32 size;         /* in bytes */
    u32 instructions; /* how many it holds */
    u64 repeat;       /* the address of the REP string instruction that ends it, or NOWHERE */
    u64 tally;        /* what it adds to the tally */
    u64 held;         /* 1: it begins in the middle of something, and must not be stopped before */
};

struct state {
    u64 instructions; /* retired, counted in whole blocks */
    u64 extra;        /* work that counts as no instruction: repetitions of REP beyond the first, translating code */
    u64 blocks;       /* blocks entered */
    u64 stop_instructions, stop_blocks, stop_extra; /* stop at the first block boundary at or past one of them */
    u64 repeat;       /* the REP that ended the block before, or NOWHERE */
    u64 point;        /* the instruction that POINT stopped before */
    u64 pass;         /* a point that must not stop once more, or NOWHERE */
    u64 fault;        /* the physical address that is not in memory */
    u32 why;          /* one of the enum above */
    u32 vector;       /* of EXCEPTION */
    u32 current;      /* index of the block entered last */
    u32 continued;    /* 1: that block only repeated a REP that was counted before */
    u32 window;       /* 1: stop as soon as EFLAGS.IF is set */
    u32 used;         /* blocks in the table */
    u32 answer;       /* of Python, which writes it last of all: an exception in the meantime leaves NOTHING */
    u32 gives_up;     /* 1: an x86, of which check_given_up() is true */
    u32 pass_again;   /* how often `pass` must not stop after that: an EXECUTE's target runs at its address, too */
    u32 stepping;     /* 1: single-stepping, for the lab */
    u64 newest;       /* the highest key so far: the engine fills its code buffer upwards */
    u64 tally;        /* for a translator's own figures: what its blocks say they add */
    u64 cache_begin, cache_size;  /* a translator's code, whose blocks may be held */
    /* "What is this block?" Python fills in the entry, and answers KNOWN, or NEW_POINTS: translate it again. */
    void (*describe)(u32 index);
    /* Python is told that the block entered last was given up before the instruction at this address. */
    void (*given_up)(u64 address);
    struct block table[BLOCKS];
};

static int (*emu_start)(void *, u64, u64, u64, __SIZE_TYPE__);
static int (*emu_stop)(void *);
static int (*reg_read)(void *, int, void *);
static int (*context_save)(void *, void *);
static int (*context_restore)(void *, void *);
static int eflags_register;

/* A guest must not kill the learner's notebook, and Unicorn lets it. It calls abort() where a guest does what QEMU's
 * authors thought impossible: `lock bts %eax, %ebx` is enough. And it runs through a null pointer when translating a block
 * of some 480 instructions of which each leaks a temporary variable, as INTO does. So both signals are caught while an
 * engine runs, and the entry ends. What the engine then looks like nobody knows: it must never be used again. (Not on
 * Windows, which has no such signals.) */
static int (*set_jump)(void *);
static void (*long_jump)(void *, int);
static void *(*this_thread)(void);
typedef void handler(int);
static handler *(*set_handler)(int, handler *);
static void *volatile guarded;                        /* the thread whose engine runs; another's is on its own */
static volatile int in_python;                        /* a callback of that engine is: its trouble is not ours */
static char place[1024] __attribute__((aligned(16))); /* its jmp_buf */
enum { SIGABRT = 6, SIGSEGV = 11 };
static handler *others[16];                           /* what was there before us */

static void on_fatal(int signal)
{
    if (guarded && guarded == this_thread() && !in_python) {
        guarded = 0;
        long_jump(place, 1);
    }
    if ((__SIZE_TYPE__)others[signal] > 1)            /* neither the default nor to be ignored */
        others[signal](signal);
    else
        set_handler(signal, others[signal]);          /* it comes again, and then ends the process */
}

/* Called for each new engine: somebody else may have set a handler in the meantime. */
void pvlab_guard(void *set, void *jump, void *thread, void *signal)
{
    set_jump = set;
    long_jump = jump;
    this_thread = thread;
    set_handler = signal;
    for (int number = SIGABRT; number <= SIGSEGV; number += SIGSEGV - SIGABRT) {
        handler *before = set_handler(number, on_fatal);
        if (before != on_fatal)
            others[number] = before;
    }
}

/* setjmp() must be called from the function that is to be jumped back into: a tail call is as good. */
__attribute__((noinline, returns_twice)) static int mark_place(void *where)
{
    __attribute__((musttail)) return set_jump(where);
}

/* We call Unicorn through pointers that Python found: so this library needs no other, and builds anywhere. */
void pvlab_init(void *start, void *stop_, void *read, void *save, void *restore, int eflags)
{
    emu_start = start;
    emu_stop = stop_;
    reg_read = read;
    context_save = save;
    context_restore = restore;
    eflags_register = eflags;
}

/* One entry: restore the CPU, run until something stops it, save the CPU. Returns Unicorn's status. */
int pvlab_enter(void *uc, void *context, u64 address, struct state *s)
{
    s->why = RUNNING;
    s->current = BLOCKS;          /* none yet */
    context_restore(uc, context);
    int status = 0;
    void *nobody = 0, *self = set_jump ? this_thread() : 0;
    if (!self || !__atomic_compare_exchange_n(&guarded, &nobody, self, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        status = emu_start(uc, address, 0, 0, 0);
    } else if (mark_place(place) == 0) {
        status = emu_start(uc, address, 0, 0, 0);
        guarded = 0;
    } else {
        s->why = ABORTED;
    }
    context_save(uc, context);
    return status;
}

static void stop(void *uc, struct state *s, u32 why)
{
    s->why = why;
    emu_stop(uc);
}

static void forget_blocks(struct state *s)
{
    for (u32 i = 0; i < BLOCKS; i++)
        s->table[i].key = 0;
    s->used = 0;
    s->newest = 0;
}

static struct block *look_up(struct state *s, u64 key)
{
    u32 i = (u32)((key >> 4) * 0x9E3779B1u) % BLOCKS;
    while (s->table[i].key != 0 && s->table[i].key != key)
        i = (i + 1) % BLOCKS;
    return &s->table[i];
}

/* Code that overwrites the block it stands in: QEMU gives the block up before the store, and runs the store alone, as a
 * block of one instruction in the middle of the old one. (So does single-stepping code, which gives nothing up.) */
static int check_given_up(void *uc, struct state *s, struct block *b)
{
    struct block *last = &s->table[s->current];
    if (b->address < last->address || b->address + b->size >= last->address + last->size)
        return KNOWN;
    u64 eflags = 0;
    reg_read(uc, eflags_register, &eflags);
    if (eflags & 0x100)
        return KNOWN;
    s->extra += TRANSLATION;
    s->answer = NOTHING;
    in_python = 1;
    s->given_up(b->address);
    in_python = 0;
    return s->answer;
}

void pvlab_on_block(void *uc, u64 address, u32 size, struct state *s)
{
    u32 due = s->instructions >= s->stop_instructions || s->blocks >= s->stop_blocks;
    u32 cached = address - s->cache_begin < s->cache_size;
    if (due && !cached) {
        stop(uc, s, DEADLINE);
        return;
    }
    if (s->window) {
        u64 eflags = 0;
        reg_read(uc, eflags_register, &eflags);
        if (eflags & 0x200) {
            stop(uc, s, WINDOW);
            return;
        }
    }
    u64 key = (u64)(__SIZE_TYPE__)__builtin_return_address(0);
    struct block *b = look_up(s, key);
    if (b->key == 0 || b->address != address || b->size != size) {
        /* New code below code that we know: the engine has emptied its buffer and began again. */
        if (key < s->newest || b->key != 0 || s->used > BLOCKS / 2) {
            forget_blocks(s);
            b = look_up(s, key);
        }
        b->address = address;
        b->size = size;
        s->extra += TRANSLATION;
        due |= s->extra >= s->stop_extra;
        if (due && !cached) {
            stop(uc, s, DEADLINE);
            return;
        }
        s->answer = NOTHING;
        in_python = 1;
        s->describe((u32)(b - s->table));
        in_python = 0;
        if (s->answer != KNOWN) {
            stop(uc, s, s->answer == NEW_POINTS ? RETRANSLATE : INTERRUPTED);
            return;
        }
        b->key = key;
        s->newest = key;
        s->used++;
    }
    if (due && !b->held) {
        stop(uc, s, DEADLINE);
        return;
    }
    if (s->gives_up && s->current != BLOCKS && b->instructions == 1 && !cached && check_given_up(uc, s, b) != KNOWN) {
        stop(uc, s, INTERRUPTED);
        return;
    }
    /* An instruction that overwrites itself is begun again; stepping, it would otherwise not come by twice. */
    if (s->stepping && s->current != BLOCKS && b->instructions == 1 && b->repeat == NOWHERE
        && s->table[s->current].address == address)
        s->instructions--;
    s->current = (u32)(b - s->table);
    s->blocks++;
    s->tally += b->tally;
    s->continued = s->repeat == address && b->repeat == address;
    if (s->continued)
        s->extra++;
    else
        s->instructions += b->instructions;
    s->repeat = b->repeat;
}

void pvlab_on_exception(void *uc, u32 vector, struct state *s)
{
    s->vector = vector;
    stop(uc, s, EXCEPTION);
}

int pvlab_on_invalid(void *uc, struct state *s)
{
    stop(uc, s, INVALID);
    return 1;
}

void pvlab_on_point(void *uc, u64 address, u32 size, struct state *s)
{
    if (address == s->pass) {
        if (s->pass_again)
            s->pass_again--;
        else
            s->pass = NOWHERE;
        return;
    }
    s->point = address;
    stop(uc, s, POINT);
}

int pvlab_on_unmapped(void *uc, int type, u64 address, int size, long long value, struct state *s)
{
    s->fault = address;
    return 0;
}
