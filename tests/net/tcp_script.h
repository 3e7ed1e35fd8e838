/* tcp_script.h - conversations with a native stack, as a script: what comes in, what goes out,
 * when.
 *
 *     established("mss 1460 sackok ws 7");          // listens, three segments, accepted
 *     in("P. 1:1001(1000) ack 1 win 500");          // this segment arrives now
 *     at(40);                                       // nothing is sent before 40 ms
 *     out(". 1:1(0) ack 1001");                     // exactly this is sent now
 *     nothing();                                    // and nothing else
 *     recv_is(1000);                                // the user gets these bytes
 *
 * A segment is FLAGS SEQ[:END(LEN)] [ack N] [win N] [urg N] [mss N] [ws N] [sackok] [ts V E] [nots]
 * [sack A-B,C-D]; FLAGS of S F R P U and '.' for ACK, or '-' for none.  Numbers are relative to the
 * sequence number of the sender's SYN, timestamps to the sender's first, so nothing in a script
 * depends on what the stack draws at random; the peer's numbers wrap around soon.  Way in only:
 * badsum, doff N (header words), opt HEX (more options as they are), port N (of the peer).
 *
 * On the way out flags, numbers, ACK, SACK blocks and the data itself must agree; win and urg when
 * they are said; of a SYN the options, unless the script says "...".  Timestamps of a connection
 * that has them are added on the way in and not compared on the way out unless they are said.
 *
 * Checksums, lengths and the send queue's invariants are checked at every step (tcp_live.c). */
#ifndef WEIR_TESTS_NET_TCP_SCRIPT_H
#define WEIR_TESTS_NET_TCP_SCRIPT_H

#include "tests/core/testing.h"
#include <errno.h>
#include <weir/net.h>
#include "tests/net/tcp_live.h"

struct script {
    struct live *live;
    struct live_config config;
    int line; /* of the script; for what goes wrong */
    uint16_t local_port, peer_port;
    bool iss_known, ts;
    uint32_t iss, irs;
    uint32_t ts_base, ts_last; /* ours: the first and the latest */
    uint32_t peer_ts_base, peer_ts_ahead;
    weir_time begin;
    struct weir_listener *listener;
    struct weir_conn *conn;
    struct weir_io accept, connect, recv, send;
    bool connecting, recv_waits, send_waits;
    uint32_t received, sent; /* bytes */
    uint8_t *send_data, *recv_data;
};

extern struct script script;

enum { SCRIPT_BYTES = 1 << 22 };

#define in(...) script_in(__LINE__, __VA_ARGS__)
#define out(...) script_out(__LINE__, __VA_ARGS__)
#define out_at(ms, ...) (script_at(__LINE__, ms), script_out(__LINE__, __VA_ARGS__))
#define nothing() script_nothing(__LINE__)
#define at(ms) script_at(__LINE__, ms)
#define nothing_until(ms) script_at(__LINE__, ms)
#define skip_until(ms) script_skip(__LINE__, ms)

void script_in(int line, const char *format, ...) WEIR_PRINTF(2, 3);
void script_out(int line, const char *format, ...) WEIR_PRINTF(2, 3);
void script_nothing(int line);
void script_at(int line, double ms);
void script_skip(int line, double ms); /* whatever is sent meanwhile */

/* ICMP about a segment of ours at `seq` (relative). */
#define icmp(type, code, rest, seq) script_icmp(__LINE__, type, code, rest, seq)
void script_icmp(int line, uint8_t type, uint8_t code, uint32_t rest, uint32_t seq);

/* --- the user --- */

#define listening() script_listen(__LINE__, 16, 16)
#define listening_with(backlog, accepted) script_listen(__LINE__, backlog, accepted)
#define connecting() script_connect(__LINE__)
#define accepted() script_accepted(__LINE__)
#define not_accepted() script_not_accepted(__LINE__)
#define connected() script_connected(__LINE__, 0)
#define connect_fails(error) script_connected(__LINE__, error)
#define established(...) script_established(__LINE__, 65535, "" __VA_ARGS__)
#define established_window(win, ...) script_established(__LINE__, win, "" __VA_ARGS__)
#define user_send(n) script_send(__LINE__, n)
#define user_sent(result) script_sent(__LINE__, result)
#define recv_is(n) script_recv(__LINE__, n)
#define recv_waits() script_recv_waits(__LINE__)
#define recv_result(result) script_recv_result(__LINE__, result)
#define user_shutdown() script_shutdown(__LINE__)
#define user_close() script_close(__LINE__, false)
#define user_abort() script_close(__LINE__, true)
#define state_is(state) script_state(__LINE__, state)

void script_listen(int line, int backlog, uint32_t accepted_max);
void script_connect(int line);
void script_accepted(int line);
void script_not_accepted(int line);
void script_connected(int line, int error);
void script_established(int line, unsigned win, const char *options);
void script_send(int line, uint32_t len);   /* is taken at once, or waits */
void script_sent(int line, int64_t result); /* of the send that waited; -EAGAIN: it still does */
void script_recv(int line, int64_t len);    /* so many bytes, now; 0: the end; < 0: an error */
void script_recv_waits(int line);           /* a receive begins, and has nothing */
void script_recv_result(int line, int64_t want); /* of that receive */
void script_shutdown(int line);
void script_close(int line, bool reset);
void script_state(int line, int state); /* enum weir_tcp_state; CLOSED: there is nothing */

/* The connection's struct: for what cannot be seen from outside. */
struct weir_tcp *script_tcp(void);

/* The next segments are of another peer's port: as if nothing had been seen yet. */
void script_new_peer(uint16_t port);

/* Throws away what was sent and not looked at; returns how many segments. */
unsigned script_drop_sent(void);

_Noreturn void script_fail(int line, const char *format, ...) WEIR_PRINTF(2, 3);
#define holds(expr) ((expr) ? (void)0 : script_fail(__LINE__, "does not hold: %s", #expr))

/* --- cases --- */

int script_setup(void **state);
int script_teardown(void **state);
/* The same with other settings: change script.config, then script_restart(). */
void script_restart(void);

#define script_case(name) cmocka_unit_test_setup_teardown(name, script_setup, script_teardown)

#endif
