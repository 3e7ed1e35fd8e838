/* floor.h - what the two floors share: the fixed answer, counting requests, listening, options.
 *
 * A floor is the barest server loop a stack allows: it answers every "\r\n\r\n" with the same bytes
 * and parses nothing else; or, as an echo server, sends back what it gets.  What weir's servers
 * cost beyond the better floor is weir's own doing.
 *
 * Answers to n pipelined requests lie back to back in one buffer, so they leave in one send.  A
 * long one is there once, and what the socket does not take is sent as it takes more.
 *
 * Given several CPUs, a floor is as many processes, which share nothing but the port. */
#ifndef WEIR_PERF_FLOOR_H
#define WEIR_PERF_FLOOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FLOOR_RX_MAX = 65536,                    /* bytes received at a time, at most */
    FLOOR_HTTP_RX_MAX = 16384,               /* and of requests */
    FLOOR_BATCH = FLOOR_HTTP_RX_MAX / 4 + 1, /* answers to one receive, at most */
    FLOOR_CONNS = 262144,                    /* descriptors */
    FLOOR_CPUS_MAX = 256,
};

/* What it was asked to be; fixed once weir_floor_listen has returned. */
struct weir_floor {
    char *answers;      /* as many as there is room for, at least one, back to back */
    size_t answers_len; /* bytes of all of them */
    size_t response;    /* bytes of one: 129, as many as weir-http sends for /plaintext, and more
                         * with --pad, --close and --body */
    bool closes;        /* the connection, behind each answer */
    bool echo;          /* no HTTP: what comes in goes back */
};

extern struct weir_floor weir_floor;

struct floor_option {
    const char *name; /* without "--" */
    const char *help; /* "what it is", the default goes behind it */
    long *value;
    long min, max;
};

/* Reads PORT CPU[,CPU...] and --name value (or --name=value) into the options and those that all
 * floors have; --help and mistakes exit. */
void weir_floor_options(int argc, char **argv, const char *what, const struct floor_option *options,
                        size_t count);

/* Whether so many bytes may be received at a time; says so if not. */
bool weir_floor_takes(long rx_size);

/* Fills the answers, listens on 127.0.0.1:PORT, becomes one process per CPU and pins each to its
 * own. Returns this process's listening socket.  Exits on failure. */
int weir_floor_listen(bool nonblock);

/* Where in the answers to go on when `left` bytes of them are still to be sent, and how many of
 * these lie there in one piece. */
static inline size_t floor_rest(uint64_t left, const char **from)
{
    size_t at = (size_t)(left % weir_floor.response);

    at = at > 0 ? weir_floor.response - at : 0;
    *from = weir_floor.answers + at;
    return left < weir_floor.answers_len - at ? (size_t)left : weir_floor.answers_len - at;
}

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
