/* bench_native.h - what the parts of bench_native share. */
#ifndef WEIR_PERF_BENCH_NATIVE_H
#define WEIR_PERF_BENCH_NATIVE_H

extern unsigned bench_cpu[2]; /* server, client */
extern double bench_seconds;  /* of each figure */

double bench_now(void);
void bench_row(const char *name, double value, const char *unit, const char *note);

/* The same exchanges over the kernel's loopback (bench_native_kernel.c). */
void bench_kernel(void);

#endif
