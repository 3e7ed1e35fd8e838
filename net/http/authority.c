/* authority.c - checks host[:port], as the Host field and the request-target carry it.
 *
 * Stricter than the grammar in three places, none of which http can use: the host is not empty, a
 * port is one of TCP, and the only literal in brackets is an IPv6 address. */
#include "net/http/authority.h"
#include <arpa/inet.h>
#include "net/http/scan.h"

/* How far a reg-name reaches. */
static size_t authority_name(struct weir_str text)
{
    size_t at = 0;

    while (at < text.len) {
        if (http_set_has(&http_host, text.at[at]))
            at++;
        else if (text.at[at] == '%' && text.len - at >= 3 && http_is_hex(text.at[at + 1]) &&
                 http_is_hex(text.at[at + 2]))
            at += 3;
        else
            break;
    }
    return at;
}

/* How far "[...]" reaches; 0 when there is no IPv6 address in it. */
static size_t authority_literal(struct weir_str text)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    size_t len = 0;

    while (1 + len < text.len && text.at[1 + len] != ']') {
        if (len == sizeof address - 1 || text.at[1 + len] == '\0')
            return 0;
        address[len] = text.at[1 + len];
        len++;
    }
    if (1 + len == text.len)
        return 0;
    address[len] = '\0';
    return inet_pton(AF_INET6, address, &parsed) == 1 ? len + 2 : 0;
}

bool weir_http_port_ok(const char *text, size_t len)
{
    unsigned port = 0;

    if (len > 5)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port <= 65535;
}

bool weir_http_authority_ok(struct weir_str text, enum weir_http_port port)
{
    size_t host;

    if (text.len == 0)
        return false;
    host = text.at[0] == '[' ? authority_literal(text) : authority_name(text);
    if (host == 0)
        return false;
    if (host == text.len)
        return port == WEIR_HTTP_PORT_OPTIONAL;
    if (text.at[host] != ':' || !weir_http_port_ok(text.at + host + 1, text.len - host - 1))
        return false;
    return port == WEIR_HTTP_PORT_OPTIONAL || text.len > host + 1;
}
