/* uring.h - whether io_uring can be had; the stack itself opens by net/stack.h. */
#ifndef WEIR_NET_KERNEL_URING_H
#define WEIR_NET_KERNEL_URING_H

#include "core/base.h"

/* 0, or a negated errno with one clause in `why`. */
int weir_uring_probe(char *why, size_t why_size);

#endif
