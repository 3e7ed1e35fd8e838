/* doctor.h - what the parts of weir-doctor share: one line for each thing that was looked at. */
#ifndef WEIR_APPS_DOCTOR_H
#define WEIR_APPS_DOCTOR_H

#include <weir/weir.h>

/* What things are needed for, as bits. */
enum doctor_use { FOR_URING = 1, FOR_TAP = 2, FOR_DPDK = 4 };

enum doctor_verdict { DOCTOR_GOOD, DOCTOR_NOTE, DOCTOR_BAD };

struct doctor {
    unsigned wanted; /* enum doctor_use: --for */
    unsigned missing;
    bool color;
};

/* One line.  What is BAD and needed for something that is wanted counts as missing; else it is a
 * note.  `cure` is NULL or a line of what to do. */
void doctor_say(struct doctor *doctor, enum doctor_verdict verdict, unsigned needed_for,
                const char *what, const char *cure, const char *format, ...) WEIR_PRINTF(6, 7);

/* --- doctor_nics.c --- */

void doctor_look_at_nics(struct doctor *doctor);

#endif
