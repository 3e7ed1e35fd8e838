/* dns_server.h - a DNS server for tests, in fibers of the shard that asks: UDP and TCP on one port
 * of 127.0.0.1.  Messages as RFC 1035 4 has them. */
#ifndef WEIR_TESTS_NET_DNS_SERVER_H
#define WEIR_TESTS_NET_DNS_SERVER_H

#include <arpa/inet.h>
#include <strings.h>
#include <weir/resolve.h>
#include <weir/udp.h>
#include "tests/seeds.h"

enum {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_AAAA = 28,
    DNS_MESSAGE = 4096,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN
};

struct dns_entry {
    const char *name;
    enum { DNS_ANSWERS, DNS_FAILS, DNS_SILENT, DNS_GARBAGE, DNS_SECOND_TIME, DNS_BY_TCP } how;
    const char *a[3], *aaaa[3];
    const char *alias;
    unsigned many; /* addresses 10.0.0.x more */
};

struct dns_server {
    const struct dns_entry *entries;
    size_t count;
    struct weir_udp *udp;
    struct weir_listener *tcp;
    struct weir_scope scope;
    char servers[64]; /* for weir_resolve_config */
    unsigned asked;
    unsigned first_seen; /* bits: types of DNS_SECOND_TIME that were dropped once */
    unsigned by_tcp;
};

struct dns_message {
    uint8_t bytes[DNS_MESSAGE];
    size_t len;
};

static inline void dns_put(struct dns_message *m, const void *bytes, size_t len)
{
    check(m->len + len <= sizeof m->bytes);
    memcpy(m->bytes + m->len, bytes, len);
    m->len += len;
}

static inline void dns_put16(struct dns_message *m, unsigned value)
{
    const uint8_t bytes[2] = { (uint8_t)(value >> 8), (uint8_t)value };

    dns_put(m, bytes, 2);
}

static inline void dns_put_name(struct dns_message *m, const char *name)
{
    while (*name) {
        size_t len = strcspn(name, ".");
        uint8_t byte = (uint8_t)len;

        dns_put(m, &byte, 1);
        dns_put(m, name, len);
        name += len + (name[len] == '.');
    }
    dns_put(m, "", 1);
}

/* The question of a query as text; its type; and where it ends. */
static inline size_t dns_question(const struct dns_message *query, char name[256], unsigned *type)
{
    size_t at = 12, len = 0;

    check(query->len > 16);
    while (query->bytes[at]) {
        memcpy(name + len, query->bytes + at + 1, query->bytes[at]);
        len += query->bytes[at];
        name[len++] = '.';
        at += 1u + query->bytes[at];
        check(at < query->len && len < 255);
    }
    name[len > 0 ? len - 1 : 0] = 0;
    *type = (unsigned)query->bytes[at + 1] << 8 | query->bytes[at + 2];
    return at + 5;
}

/* A record of the name that is asked, or of `alias`. */
static inline void dns_record(struct dns_message *m, const char *alias, unsigned type,
                              const void *data, size_t len)
{
    if (alias)
        dns_put_name(m, alias);
    else
        dns_put16(m, 0xc00c);
    dns_put16(m, type);
    dns_put16(m, 1); /* IN */
    dns_put16(m, 0);
    dns_put16(m, 60); /* seconds to live */
    dns_put16(m, (unsigned)len);
    dns_put(m, data, len);
    m->bytes[7]++; /* ANCOUNT */
}

static inline void dns_addresses(struct dns_message *m, const struct dns_entry *entry,
                                 unsigned type)
{
    const char *const *text = type == DNS_A ? entry->a : entry->aaaa;
    uint8_t address[16];

    for (int i = 0; i < 3 && text[i]; i++) {
        check_int(inet_pton(type == DNS_A ? AF_INET : AF_INET6, text[i], address), 1);
        dns_record(m, entry->alias, type, address, type == DNS_A ? 4 : 16);
    }
    for (unsigned i = 0; i < entry->many && type == DNS_A; i++) {
        const uint8_t more[4] = { 10, 0, 0, (uint8_t)i };

        dns_record(m, NULL, DNS_A, more, 4);
    }
}

static inline void dns_fill(struct dns_message *m, const struct dns_entry *entry, unsigned type)
{
    if (entry->alias) {
        struct dns_message name = { .len = 0 };

        dns_put_name(&name, entry->alias);
        dns_record(m, NULL, DNS_CNAME, name.bytes, name.len);
    }
    if (type == DNS_A || type == DNS_AAAA)
        dns_addresses(m, entry, type);
}

static inline const struct dns_entry *dns_find(const struct dns_server *server, const char *name)
{
    for (size_t i = 0; i < server->count; i++)
        if (strcasecmp(server->entries[i].name, name) == 0)
            return &server->entries[i];
    return NULL;
}

/* Makes the answer; false: there is none. */
static inline bool dns_answer(struct dns_server *server, const struct dns_message *query, bool tcp,
                              struct dns_message *answer)
{
    const struct dns_entry *entry;
    char name[256];
    unsigned type;
    size_t end = dns_question(query, name, &type);

    server->asked++;
    entry = dns_find(server, name);
    *answer = (struct dns_message){ .len = 0 };
    dns_put(answer, query->bytes, end);
    memcpy(answer->bytes + 2, "\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00", 10);
    if (!entry || entry->how == DNS_FAILS) {
        answer->bytes[3] |= entry ? DNS_SERVFAIL : DNS_NXDOMAIN;
        return true;
    }
    if (entry->how == DNS_SILENT)
        return false;
    if (entry->how == DNS_SECOND_TIME && !(server->first_seen & 1u << type % 32)) {
        server->first_seen |= 1u << type % 32;
        return false;
    }
    if (entry->how == DNS_GARBAGE)
        answer->len = 12 + (size_t)weir_random(4);
    else if (entry->how == DNS_BY_TCP && !tcp)
        answer->bytes[2] |= 2; /* TC */
    else
        dns_fill(answer, entry, type);
    return true;
}

static inline void dns_udp(void *arg)
{
    struct dns_server *server = arg;
    struct dns_message query, answer;
    struct weir_addr peer;
    int64_t n;

    while ((n = weir_recv_from(server->udp, query.bytes, sizeof query.bytes, &peer, WEIR_NEVER)) >=
           0) {
        query.len = (size_t)n;
        if (dns_answer(server, &query, false, &answer))
            weir_send_to(server->udp, answer.bytes, answer.len, &peer, WEIR_NEVER);
    }
}

static inline bool dns_read(struct weir_conn *conn, void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        int64_t n = weir_recv(conn, (char *)data + at, len - at, WEIR_NEVER);

        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* One byte at a time: whoever reads has to come again and again. */
static inline void dns_tcp_serve(struct dns_server *server, struct weir_conn *conn)
{
    struct dns_message query, answer;
    uint8_t len[2];

    while (dns_read(conn, len, 2)) {
        query.len = (size_t)len[0] << 8 | len[1];
        check(query.len <= sizeof query.bytes);
        if (!dns_read(conn, query.bytes, query.len) || !dns_answer(server, &query, true, &answer))
            break;
        server->by_tcp++;
        len[0] = (uint8_t)(answer.len >> 8);
        len[1] = (uint8_t)answer.len;
        for (size_t i = 0; i < 2; i++)
            weir_send(conn, len + i, 1, WEIR_NEVER);
        for (size_t i = 0; i < answer.len; i++) {
            weir_send(conn, answer.bytes + i, 1, WEIR_NEVER);
            if (i % 64 == 0)
                weir_sleep(WEIR_US(100));
        }
    }
    weir_close(conn);
}

static inline void dns_tcp(void *arg)
{
    struct dns_server *server = arg;
    struct weir_conn *conn;

    while (weir_accept(server->tcp, &conn, WEIR_NEVER) == 0)
        dns_tcp_serve(server, conn);
}

/* A port for UDP whose number is free for TCP as well. */
static inline bool dns_bind(struct dns_server *server)
{
    struct weir_addr addr;
    char text[64];
    int error;

    check_int(weir_udp_open(&server->udp, "kernel:127.0.0.1:0", NULL), 0);
    check_int(weir_udp_local_addr(server->udp, &addr), 0);
    snprintf(server->servers, sizeof server->servers, "127.0.0.1:%u", ntohs(addr.in.sin_port));
    snprintf(text, sizeof text, "kernel:%.40s", server->servers);
    error = weir_listen(&server->tcp, text, NULL);
    if (error < 0) {
        check_int(error, -EADDRINUSE);
        weir_udp_close(server->udp);
    }
    return error == 0;
}

static inline void dns_open(struct dns_server *server, const struct dns_entry *entries,
                            size_t count)
{
    int tries = 0;

    *server = (struct dns_server){ .entries = entries, .count = count };
    weir_scope_init(&server->scope);
    while (!dns_bind(server))
        check(++tries < 1000);
    check_int(weir_spawn(&server->scope, dns_udp, server), 0);
    check_int(weir_spawn(&server->scope, dns_tcp, server), 0);
}

static inline void dns_close(struct dns_server *server)
{
    weir_scope_cancel(&server->scope);
    check_int(weir_scope_join(&server->scope, WEIR_NEVER), 0);
    weir_udp_close(server->udp);
    weir_listener_close(server->tcp);
}

#endif
