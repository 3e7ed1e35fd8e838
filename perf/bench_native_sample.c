/* bench_native_sample.c - where a thread is, 5,000 times a second: a profiler that can be told when
 * not to look.
 *
 * perf cannot tell the server's turns from the client's, which are the same functions in the same
 * thread; the flag here can.  A timer interrupts, the handler notes the interrupted address. */
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <ucontext.h>
#include "core/base.h"
#include "perf/bench_native.h"

enum { SAMPLES_MAX = 1 << 17, SAMPLE_EVERY_US = 200, SAMPLE_STACK = 65536 };

/* Read by the handler in the same thread. */
volatile sig_atomic_t bench_sampling;

static uintptr_t samples[SAMPLES_MAX];
static volatile uint32_t samples_count;

static uintptr_t sample_address(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.pc;
#else
#error "say where the interrupted address is"
#endif
}

static void sample_handler(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    if (bench_sampling && samples_count < SAMPLES_MAX)
        samples[samples_count++] = sample_address(context);
}

void bench_sample_start(void)
{
    static uint8_t stack[SAMPLE_STACK]; /* fibers have little room on theirs */
    const stack_t signal_stack = { .ss_sp = stack, .ss_size = sizeof stack };
    const struct itimerval every = { { 0, SAMPLE_EVERY_US }, { 0, SAMPLE_EVERY_US } };
    struct sigaction action = { .sa_sigaction = sample_handler,
                                .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };

    if (sigaltstack(&signal_stack, NULL) < 0 || sigaction(SIGALRM, &action, NULL) < 0 ||
        setitimer(ITIMER_REAL, &every, NULL) < 0) {
        fprintf(stderr, "bench_native: no timer to sample by\n");
        exit(1);
    }
}

/* Prints what lies in one object: its name ("-": the program), the address as in its file. */
static int sample_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    const char *name = info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "-";

    (void)size;
    (void)arg;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;

        for (uint32_t k = 0; part->p_type == PT_LOAD && k < samples_count; k++)
            if (samples[k] - begin < part->p_memsz)
                printf("sample %s %#lx\n", name, (unsigned long)(samples[k] - info->dlpi_addr));
    }
    return 0;
}

void bench_sample_print(void)
{
    const struct itimerval never = { { 0, 0 }, { 0, 0 } };

    setitimer(ITIMER_REAL, &never, NULL);
    dl_iterate_phdr(sample_object, NULL);
}
