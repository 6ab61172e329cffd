/* The programs that run in user mode. Each is a function with one argument, lives in a process of its own, and ends by
 * a system call. It can call nothing of the kernel's: kernel.ld puts this file's code and data at a process's own
 * addresses, and the kernel's memory is out of its reach. */
#include "kernel.h"

static inline uint32_t system_call(uint32_t number, uint32_t first, uint32_t second)
{
    uint32_t result;
    __asm__ volatile("int %1" : "=a"(result) : "i"(SYSTEM_CALL), "0"(number), "b"(first), "c"(second) : "memory");
    return result;
}

__attribute__((noreturn)) static void end(uint32_t answer)
{
    system_call(SYS_EXIT, answer, 0);
    __builtin_unreachable();
}

/* Find the primes below 512 by Eratosthenes' sieve, n times, and add them up. */
void user_compute(uint32_t n)
{
    static volatile uint8_t composite[512];
    uint32_t sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        for (uint32_t i = 0; i < 512; i++)
            composite[i] = 0;
        for (uint32_t i = 2; i < 512; i++) {
            if (composite[i])
                continue;
            sum += i;
            for (uint32_t multiple = i * i; multiple < 512; multiple += i)
                composite[multiple] = 1;
        }
    }
    end(sum);
}

/* Call the kernel for nothing, n times. */
void user_syscall(uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += system_call(SYS_NULL, i, 0);
    end(sum);
}

/* Count a turn and let the other process have the next, for ever. Both run this code on the same addresses; that each
 * counts its own turns only, shows that their memories are two. */
uint32_t user_turns;
void user_yield(uint32_t step)
{
    for (;;) {
        user_turns += step;
        system_call(SYS_YIELD, 0, 0);
    }
}

/* Touch n pages, none of which is there when it is touched. A fresh page must be empty. */
void user_page_fault(uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        volatile uint32_t *page = (volatile uint32_t *)(USER_WINDOW + i % WINDOW_PAGES * PAGE_SIZE);
        page[0] = i;
        sum += page[0] + page[1] + page[PAGE_SIZE / 4 - 1];
        page[PAGE_SIZE / 4 - 1] = i;
    }
    end(sum);
}

/* Copy this process n times. Each copy changes a variable and ends with it as its status; the original's stays. */
static volatile uint32_t own;
void user_fork(uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t status = system_call(SYS_FORK, 0, 0);
        if (!status) {
            own += i + 1;
            end(own);
        }
        sum += status;
    }
    end(sum + own);
}

/* Divide by zero n times. The kernel goes on behind the division, which leaves EAX as it was. */
void user_divide_error(uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = i, rest = 0;
        __asm__ volatile("div %2" : "+a"(number), "+d"(rest) : "c"(0) : "cc");
        sum += number;
    }
    end(sum);
}

/* Run until the kernel has had enough. */
void user_spin(uint32_t n)
{
    (void)n;
    for (;;)
        __asm__ volatile("");
}

/* Print n lines, each with its number. */
void user_console(uint32_t n)
{
    static char line[] = "line 0000000\n";
    for (uint32_t i = 1; i <= n; i++) {
        uint32_t number = i;
        for (int place = 11; place >= 5; place--, number /= 10)
            line[place] = (char)('0' + number % 10);
        system_call(SYS_WRITE, (uint32_t)line, sizeof line - 1);
    }
    end(n * (sizeof line - 1));
}
