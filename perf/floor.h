/* floor.h - what the two floors share: the fixed answer, counting requests, listening, options.
 *
 * A floor is the barest server loop a stack allows: it answers every "\r\n\r\n" with the same bytes
 * and parses nothing else.  What weir-http costs beyond the better floor is weir's own doing.
 *
 * Answers to n pipelined requests lie back to back in one buffer, so they leave in one send. */
#ifndef WEIR_PERF_FLOOR_H
#define WEIR_PERF_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLOOR_RESPONSE = 129,               /* bytes; as many as weir-http sends for /plaintext */
    FLOOR_RX_MAX = 16384,               /* bytes received at a time, at most */
    FLOOR_BATCH = FLOOR_RX_MAX / 4 + 1, /* answers to one receive, at most */
    FLOOR_CONNS = 65536,                /* descriptors */
};

/* FLOOR_BATCH answers, back to back. */
extern char weir_floor_answers[FLOOR_BATCH * FLOOR_RESPONSE];

struct floor_option {
    const char *name; /* without "--" */
    const char *help; /* "what it is", the default goes behind it */
    long *value;
    long min, max;
};

/* Reads PORT CPU and --name value (or --name=value) into the options; --help and mistakes exit. */
void weir_floor_options(int argc, char **argv, const char *what, const struct floor_option *options,
                        size_t count);

/* Fills the answers, pins to the CPU, listens on 127.0.0.1:PORT and says so.  Exits on failure. */
int weir_floor_listen(bool nonblock);

/* Ends the program: "what: strerror(error)". */
_Noreturn void weir_floor_die(const char *what, int error);

/* Ends of requests in `data`.  *matched is how much of "\r\n\r\n" the bytes before it ended with.
 * Looks at every fourth byte until one of the pattern turns up. */
static inline unsigned floor_count(uint8_t *matched, const char *data, size_t len)
{
    unsigned count = 0;
    size_t i = 0;
    unsigned state = *matched;

    while (i < len) {
        char c = data[i];

        if (state == 0 && len - i >= 4) {
            char last = data[i + 3];

            if (last == '\n' && data[i] == '\r' && data[i + 1] == '\n' && data[i + 2] == '\r') {
                count++;
                i += 4;
                continue;
            }
            i += last == '\n' ? 2 : last == '\r' ? 1 : 4;
            continue;
        }
        i++;
        if (c == ((state & 1) ? '\n' : '\r'))
            state++;
        else
            state = c == '\r';
        if (state == 4) {
            state = 0;
            count++;
        }
    }
    *matched = (uint8_t)state;
    return count;
}

#endif
