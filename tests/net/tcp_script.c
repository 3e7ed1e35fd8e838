/* tcp_script.c - see tcp_script.h. */
#include "tests/net/tcp_script.h"

struct script script;

enum { FIN = WEIR_FIN, SYN = WEIR_SYN, RST = WEIR_RST, PSH = WEIR_PSH, ACK = WEIR_ACK };

/* A segment as a script says it, and what of it was said. */
struct said {
    struct live_segment segment;
    bool win, urg, ts, nots, rest;
    uint16_t port; /* 0: script.peer_port */
};

static char script_text[512];

void script_fail(int line, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "line %d, at %.3f ms: %s\n", line,
            (double)(script.live->shard.now - script.begin) / 1e6, text);
    fail();
    abort();
}

/* --- segments as text --- */

static const struct {
    char letter;
    uint8_t flag;
} flag_letters[] = { { 'S', SYN }, { 'F', FIN },      { 'R', RST },
                     { 'P', PSH }, { 'U', WEIR_URG }, { '.', ACK } };

static size_t format_flags(char *text, uint8_t flags)
{
    size_t len = 0;

    for (size_t i = 0; i < WEIR_COUNT(flag_letters); i++)
        if (flags & flag_letters[i].flag)
            text[len++] = flag_letters[i].letter;
    if (len == 0)
        text[len++] = '-';
    text[len] = '\0';
    return len;
}

/* One of ours. */
static const char *format_sent(const struct live_segment *s)
{
    static char text[512];
    uint32_t seq = s->seq - script.iss;
    size_t len = format_flags(text, s->flags);

    len += (size_t)snprintf(text + len, sizeof text - len, " %u:%u(%u)", seq, seq + s->len, s->len);
    if (s->flags & ACK)
        len += (size_t)snprintf(text + len, sizeof text - len, " ack %u", s->ack - script.irs);
    len += (size_t)snprintf(text + len, sizeof text - len, " win %u", s->window);
    if (s->mss)
        len += (size_t)snprintf(text + len, sizeof text - len, " mss %u", s->mss);
    if (s->sack_ok)
        len += (size_t)snprintf(text + len, sizeof text - len, " sackok");
    if (s->ts)
        len +=
            (size_t)snprintf(text + len, sizeof text - len, " ts %u %u", s->ts_val - script.ts_base,
                             s->ts_ecr ? s->ts_ecr - script.peer_ts_base : 0);
    if (s->wscale != 255)
        len += (size_t)snprintf(text + len, sizeof text - len, " ws %u", s->wscale);
    for (unsigned i = 0; i < s->sacks; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%u-%u", i ? "," : " sack ",
                                s->sack[i][0] - script.irs, s->sack[i][1] - script.irs);
    snprintf(text + len, sizeof text - len, "  (at %.3f ms)", (double)(s->at - script.begin) / 1e6);
    return text;
}

static uint8_t parse_flags(int line, const char *text)
{
    uint8_t flags = 0;

    for (; *text && *text != '-'; text++) {
        size_t i = 0;

        while (i < WEIR_COUNT(flag_letters) && flag_letters[i].letter != *text)
            i++;
        if (i == WEIR_COUNT(flag_letters))
            script_fail(line, "no such flag in \"%s\"", script_text);
        flags |= flag_letters[i].flag;
    }
    return flags;
}

static void parse_numbers(int line, struct live_segment *s, const char *text)
{
    char *end;

    s->seq = (uint32_t)strtoll(text, &end, 10);
    if (*end == ':') {
        uint32_t behind = (uint32_t)strtoll(end + 1, &end, 10);

        if (*end == '(')
            s->len = (uint32_t)strtoul(end + 1, &end, 10);
        if (behind != s->seq + s->len)
            script_fail(line, "lengths do not agree in \"%s\"", script_text);
    }
}

static uint32_t parse_next(int line)
{
    const char *word = strtok(NULL, " ");

    if (!word)
        script_fail(line, "a number is missing in \"%s\"", script_text);
    return (uint32_t)strtoll(word, NULL, 10);
}

static void parse_sack(struct live_segment *s, char *word)
{
    while (word && *word && s->sacks < 4) {
        char *end;

        s->sack[s->sacks][0] = (uint32_t)strtoll(word, &end, 10);
        s->sack[s->sacks++][1] = (uint32_t)strtoll(end + 1, &end, 10);
        word = *end == ',' ? end + 1 : NULL;
    }
}

static void parse_hex(struct live_segment *s, const char *word)
{
    unsigned byte;

    for (; word && word[0] && word[1]; word += 2) {
        sscanf(word, "%2x", &byte);
        s->raw[s->raw_len++] = (uint8_t)byte;
    }
}

static void parse_word(int line, struct said *said, const char *word)
{
    struct live_segment *s = &said->segment;

    if (strcmp(word, "ack") == 0) {
        s->ack = parse_next(line);
    } else if (strcmp(word, "win") == 0) {
        s->window = (uint16_t)parse_next(line);
        said->win = true;
    } else if (strcmp(word, "urg") == 0) {
        s->urgent = (uint16_t)parse_next(line);
        said->urg = true;
    } else if (strcmp(word, "mss") == 0) {
        s->mss = (uint16_t)parse_next(line);
    } else if (strcmp(word, "ws") == 0) {
        s->wscale = (uint8_t)parse_next(line);
    } else if (strcmp(word, "sackok") == 0) {
        s->sack_ok = true;
    } else if (strcmp(word, "ts") == 0) {
        s->ts = said->ts = true;
        s->ts_val = parse_next(line);
        s->ts_ecr = parse_next(line);
    } else if (strcmp(word, "nots") == 0) {
        said->nots = true;
    } else if (strcmp(word, "sack") == 0) {
        parse_sack(s, strtok(NULL, " "));
    } else if (strcmp(word, "opt") == 0) {
        parse_hex(s, strtok(NULL, " "));
    } else if (strcmp(word, "doff") == 0) {
        s->data_offset = (uint8_t)parse_next(line);
    } else if (strcmp(word, "badsum") == 0) {
        s->bad_sum = true;
    } else if (strcmp(word, "port") == 0) {
        said->port = (uint16_t)parse_next(line);
    } else if (strcmp(word, "...") == 0) {
        said->rest = true;
    } else {
        script_fail(line, "no such word as \"%s\"", word);
    }
}

static void parse(int line, struct said *said, const char *format, va_list args)
{
    static char words[512];
    char *word;

    memset(said, 0, offsetof(struct said, segment.data));
    said->win = said->urg = said->ts = said->nots = said->rest = false;
    said->port = 0;
    said->segment.wscale = 255;
    said->segment.window = 65535;
    vsnprintf(script_text, sizeof script_text, format, args);
    memcpy(words, script_text, sizeof words);
    word = strtok(words, " ");
    said->segment.flags = parse_flags(line, word ? word : "");
    word = strtok(NULL, " ");
    parse_numbers(line, &said->segment, word ? word : "0");
    while ((word = strtok(NULL, " ")) != NULL)
        parse_word(line, said, word);
}

/* --- in --- */

static uint32_t script_ms(void)
{
    return (uint32_t)((script.live->shard.now - script.begin) / WEIR_MS(1));
}

static void script_absolute(struct live_segment *s, const struct said *said)
{
    uint32_t first = s->seq + ((s->flags & SYN) != 0);

    for (uint32_t i = 0; i < s->len; i++)
        s->data[i] = live_byte(first - 1 + i);
    s->seq += script.irs;
    s->ack += s->flags & ACK ? script.iss : 0;
    for (unsigned i = 0; i < s->sacks; i++) {
        s->sack[i][0] += script.iss;
        s->sack[i][1] += script.iss;
    }
    if (said->ts) {
        if (s->flags & SYN)
            script.peer_ts_ahead = s->ts_val - script_ms();
        s->ts_val += script.peer_ts_base;
        s->ts_ecr += s->flags & ACK ? script.ts_base : 0;
    } else if (script.ts && !said->nots) {
        s->ts = true;
        s->ts_val = script.peer_ts_base + script.peer_ts_ahead + script_ms();
        s->ts_ecr = script.ts_last;
    }
    if ((s->flags & SYN) && s->ts)
        script.ts = true;
}

void script_in(int line, const char *format, ...)
{
    static struct said said;
    va_list args;

    va_start(args, format);
    parse(line, &said, format, args);
    va_end(args);
    script.line = line;
    said.segment.sport = said.port ? said.port : script.peer_port;
    said.segment.dport = script.local_port;
    script_absolute(&said.segment, &said);
    live_in(script.live, &said.segment);
    live_pump(script.live);
}

/* --- out --- */

static void script_learn(const struct live_segment *s)
{
    if ((s->flags & SYN) && !script.iss_known) {
        script.iss = s->seq;
        script.iss_known = true;
        if (!(s->flags & ACK))
            script.local_port = s->sport;
        script.ts_base = s->ts_val;
    }
    if (s->ts)
        script.ts_last = s->ts_val;
}

/* Timers are rounded up to ticks of the wheel, and those that follow each other add that up. */
static const struct live_segment *script_next(void)
{
    const struct live_segment *s = live_sent(script.live);

    for (int i = 0; i < 12 && !s; i++) {
        live_pass(script.live, script.live->shard.now + WEIR_TICK);
        s = live_sent(script.live);
    }
    return s;
}

static void script_differ(int line, const struct live_segment *s, const char *what)
{
    script_fail(line, "%s\n    expected %s\n    got      %s", what, script_text,
                s ? format_sent(s) : "nothing");
}

static void script_compare_options(int line, const struct live_segment *s, const struct said *said)
{
    const struct live_segment *want = &said->segment;

    if ((s->flags & SYN) && !said->rest &&
        (s->mss != want->mss || s->wscale != want->wscale || s->sack_ok != want->sack_ok ||
         s->ts != want->ts))
        script_differ(line, s, "other options");
    if (s->sacks != want->sacks)
        script_differ(line, s, "other SACK blocks");
    for (unsigned i = 0; i < s->sacks; i++)
        if (s->sack[i][0] - script.irs != want->sack[i][0] ||
            s->sack[i][1] - script.irs != want->sack[i][1])
            script_differ(line, s, "other SACK blocks");
    if (said->nots && s->ts)
        script_differ(line, s, "a timestamp");
    if (said->ts && (!s->ts || s->ts_val - script.ts_base != want->ts_val ||
                     (s->ts_ecr ? s->ts_ecr - script.peer_ts_base : 0) != want->ts_ecr))
        script_differ(line, s, "another timestamp");
}

static void script_compare(int line, const struct live_segment *s, const struct said *said)
{
    const struct live_segment *want = &said->segment;
    uint16_t port = said->port ? said->port : script.peer_port;

    if (s->sport != script.local_port || s->dport != port)
        script_differ(line, s, "other ports");
    if (s->flags != want->flags)
        script_differ(line, s, "other flags");
    if (s->seq - script.iss != want->seq || s->len != want->len)
        script_differ(line, s, "other sequence numbers");
    if ((s->flags & ACK) ? s->ack - script.irs != want->ack : s->ack != 0)
        script_differ(line, s, "another ACK");
    if (said->win && s->window != want->window)
        script_differ(line, s, "another window");
    if (s->urgent != want->urgent)
        script_differ(line, s, "another urgent pointer");
    for (uint32_t i = 0; i < s->len; i++)
        if (s->data[i] != live_byte(s->seq - script.iss - 1 + i))
            script_differ(line, s, "other bytes");
    script_compare_options(line, s, said);
}

void script_out(int line, const char *format, ...)
{
    static struct said said;
    const struct live_segment *s;
    va_list args;

    va_start(args, format);
    parse(line, &said, format, args);
    va_end(args);
    script.line = line;
    s = script_next();
    if (!s)
        script_differ(line, s, "nothing was sent");
    script_learn(s);
    script_compare(line, s, &said);
}

void script_nothing(int line)
{
    const struct live_segment *s = live_sent(script.live);

    snprintf(script_text, sizeof script_text, "nothing");
    if (s)
        script_differ(line, s, "too much");
}

void script_at(int line, double ms)
{
    script_nothing(line);
    live_pass(script.live, script.begin + (weir_time)(ms * 1e6) - 1);
    script_nothing(line);
    live_pass(script.live, script.begin + (weir_time)(ms * 1e6));
}

void script_skip(int line, double ms)
{
    (void)line;
    live_pass(script.live, script.begin + (weir_time)(ms * 1e6));
    script_drop_sent();
}

unsigned script_drop_sent(void)
{
    const struct live_segment *s;
    unsigned count = 0;

    while ((s = live_sent(script.live)) != NULL) {
        script_learn(s);
        count++;
    }
    return count;
}

void script_icmp(int line, uint8_t type, uint8_t code, uint32_t rest, uint32_t seq)
{
    script.line = line;
    live_in_icmp(script.live, type, code, rest, script.local_port, script.peer_port,
                 script.iss + seq);
    live_pump(script.live);
}

/* --- the user --- */

void script_listen(int line, int backlog, uint32_t accepted_max)
{
    struct weir_listen_config config;
    int error;

    weir_listen_config_init(&config);
    config.backlog = backlog;
    config.accepted_max = accepted_max;
    error = weir_listen(&script.listener, script.config.v6 ? "[2001:db8::1]:80" : "192.0.2.1:80",
                        &config);
    if (error)
        script_fail(line, "listen: %s", strerror(-error));
}

void script_connect(int line)
{
    struct weir_addr addr;

    weir_addr_parse(&addr, script.config.v6 ? "[2001:db8::9]:40000" : "192.0.2.9:40000");
    weir_connect_start(&script.connect, &addr);
    script.connecting = true;
    live_pump(script.live);
    if (script.connect.future.done && script.connect.future.result != 0)
        script_fail(line, "connect: %lld", (long long)script.connect.future.result);
}

static void script_accept_begin(int line)
{
    if (!script.accept.listener) {
        script.accept.listener = script.listener;
        weir_accept_start(&script.accept, script.listener);
    }
    live_pump(script.live);
    if (script.accept.future.done && script.accept.future.result != 0)
        script_fail(line, "accept: %lld", (long long)script.accept.future.result);
}

void script_accepted(int line)
{
    script_accept_begin(line);
    if (!script.accept.future.done)
        script_fail(line, "nothing to accept");
    script.conn = script.accept.conn;
    script.accept.listener = NULL;
}

void script_not_accepted(int line)
{
    script_accept_begin(line);
    if (script.accept.future.done)
        script_fail(line, "accepted");
}

void script_connected(int line, int error)
{
    if (!script.connect.future.done)
        script_fail(line, "connect is not done");
    if (script.connect.future.result != error)
        script_fail(line, "connect: %lld, not %d", (long long)script.connect.future.result, error);
    script.connecting = false;
    if (error == 0)
        script.conn = script.connect.conn;
}

void script_established(int line, unsigned win, const char *options)
{
    if (!script.listener)
        script_listen(line, 16, 16);
    script_in(line, "S 0:0(0) win %u %s", win, options);
    script_out(line, "S. 0:0(0) ack 1 ...");
    script_in(line, ". 1:1(0) ack 1 win %u", win);
    script_nothing(line);
    script_accepted(line);
}

void script_send(int line, uint32_t len)
{
    if (script.send_waits || script.sent + len > SCRIPT_BYTES)
        script_fail(line, "a send is under way, or too much");
    for (uint32_t i = 0; i < len; i++)
        script.send_data[script.sent + i] = live_byte(script.sent + i);
    weir_send_start(&script.send, script.conn, script.send_data + script.sent, len);
    script.sent += len;
    live_pump(script.live);
    script.send_waits = !script.send.future.done;
    if (!script.send_waits && script.send.future.result != (int64_t)len)
        script_fail(line, "send: %lld", (long long)script.send.future.result);
}

void script_sent(int line, int64_t result)
{
    live_pump(script.live);
    if (!script.send_waits) { /* a new one, of one byte, to see what it says */
        weir_send_start(&script.send, script.conn, "", 1);
        live_pump(script.live);
    }
    script.send_waits = !script.send.future.done;
    if (script.send_waits ? result != -EAGAIN : script.send.future.result != result)
        script_fail(line, "send: %lld, not %lld",
                    script.send_waits ? (long long)-EAGAIN : (long long)script.send.future.result,
                    (long long)result);
}

static void script_check_bytes(int line, int64_t len)
{
    for (int64_t i = 0; i < len; i++)
        if (script.recv_data[i] != live_byte(script.received + (uint32_t)i))
            script_fail(line, "byte %lld of the stream is wrong", (long long)(script.received + i));
    script.received += (uint32_t)len;
}

void script_recv(int line, int64_t len)
{
    int64_t got;

    if (script.recv_waits)
        script_fail(line, "a receive is under way");
    do {
        weir_recv_start(&script.recv, script.conn, script.recv_data,
                        len > 0 ? (size_t)len : SCRIPT_BYTES);
        if (!script.recv.future.done)
            script_fail(line, "the receive has to wait");
        got = script.recv.future.result;
        if (got < 0 || got == 0)
            break;
        script_check_bytes(line, got);
        len -= got;
    } while (len > 0);
    if (got <= 0 ? got != len : len != 0)
        script_fail(line, "receive: %lld, not %lld", (long long)got, (long long)len);
    live_pump(script.live);
}

void script_recv_waits(int line)
{
    weir_recv_start(&script.recv, script.conn, script.recv_data, SCRIPT_BYTES);
    if (script.recv.future.done)
        script_fail(line, "receive: %lld", (long long)script.recv.future.result);
    script.recv_waits = true;
}

void script_recv_result(int line, int64_t want)
{
    live_pump(script.live);
    if (!script.recv_waits || !script.recv.future.done)
        script_fail(line, "the receive still waits");
    script.recv_waits = false;
    if (script.recv.future.result != want)
        script_fail(line, "receive: %lld, not %lld", (long long)script.recv.future.result,
                    (long long)want);
    if (want > 0)
        script_check_bytes(line, want);
}

void script_shutdown(int line)
{
    int error = weir_shutdown(script.conn);

    if (error)
        script_fail(line, "shutdown: %s", strerror(-error));
    live_pump(script.live);
}

void script_close(int line, bool reset)
{
    if (!script.conn)
        script_fail(line, "no connection");
    if (reset)
        weir_abort(script.conn);
    else
        weir_close(script.conn);
    script.conn = NULL;
    script.send_waits = script.recv_waits = false;
    live_pump(script.live);
}

struct weir_tcp *script_tcp(void)
{
    struct weir_flow *flow = live_flow(script.live, script.local_port, script.peer_port);

    if (!flow || flow->kind != WEIR_FLOW_TCP)
        script_fail(script.line, "no connection");
    return weir_container_of(flow, struct weir_tcp, flow);
}

void script_state(int line, int state)
{
    static const char *const names[] = { "CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED",
                                         "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT",   "CLOSING",
                                         "LAST-ACK",   "TIME-WAIT" };
    struct weir_flow *flow = live_flow(script.live, script.local_port, script.peer_port);
    int have = WEIR_TCP_CLOSED;

    if (flow && flow->kind == WEIR_FLOW_WAIT)
        have = WEIR_TCP_TIME_WAIT;
    else if (flow)
        have = weir_container_of(flow, struct weir_tcp, flow)->state;
    if (have != state)
        script_fail(line, "in %s, not %s", names[have], names[state]);
}

/* --- cases --- */

static void script_begin(void)
{
    script.live = live_open(&script.config);
    script.begin = (script.live->shard.now / WEIR_MS(1) + 1) * WEIR_MS(1);
    live_pass(script.live, script.begin);
    script_drop_sent();
    script.iss_known = false;
    script.local_port = LIVE_PORT;
    script.peer_port = LIVE_PEER_PORT;
    script.irs = 0xfffffe00; /* wraps soon */
    script.peer_ts_base = 0xffffff00;
}

static void script_end(void)
{
    if (script.connecting && !script.connect.future.done)
        weir_future_cancel(&script.connect.future);
    else if (script.connecting && script.connect.future.result == 0 && !script.conn)
        weir_abort(script.connect.conn);
    if (script.accept.listener && script.accept.future.done && script.accept.future.result == 0)
        weir_abort(script.accept.conn);
    if (script.conn)
        weir_abort(script.conn);
    if (script.listener)
        weir_listener_close(script.listener);
    live_pump(script.live);
    live_close(script.live);
}

int script_setup(void **state)
{
    (void)state;
    memset(&script, 0, sizeof script);
    script.send_data = malloc(SCRIPT_BYTES);
    script.recv_data = malloc(SCRIPT_BYTES);
    live_config_init(&script.config);
    script_begin();
    return 0;
}

int script_teardown(void **state)
{
    (void)state;
    script_end();
    free(script.send_data);
    free(script.recv_data);
    return 0;
}

void script_restart(void)
{
    script_end();
    script_begin();
}

void script_new_peer(uint16_t port)
{
    script.peer_port = port;
    script.iss_known = script.ts = false;
    script.iss = 0;
}
