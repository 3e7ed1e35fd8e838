/* addr.c - addresses as text, both ways.
 *
 * One spelling per address, no names, no defaults: what weir_addr_parse takes is what a listener
 * really gets, and a slip of the pen is refused instead of guessed at.  So ports have no leading
 * zeros, IPv4 has four decimal parts, and only link-local addresses take a zone. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <weir/net.h>
#include "core/base.h"
#include "core/parse.h"

/* --- from text --- */

/* Decimal, 0 to 65,535, no leading zero. */
static int addr_parse_port(in_port_t *port, const char *text)
{
    uint64_t value;

    if (text[0] == '0' && text[1] != 0)
        return -EINVAL;
    if (weir_parse_uint(text, 0, UINT16_MAX, &value) < 0)
        return -EINVAL;
    *port = htons((uint16_t)value);
    return 0;
}

static int addr_parse_unix(struct weir_addr *addr, const char *name)
{
    size_t len = strlen(name);
    bool abstract = name[0] == '@';

    if (len <= abstract || len >= sizeof addr->un.sun_path)
        return -EINVAL;
    addr->un.sun_family = AF_UNIX;
    memcpy(addr->un.sun_path, name, len + 1);
    addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !abstract);
    if (abstract)
        addr->un.sun_path[0] = 0;
    return 0;
}

static int addr_parse_in(struct weir_addr *addr, const char *text)
{
    const char *colon = strchr(text, ':');
    char host[INET_ADDRSTRLEN];
    size_t len = colon ? (size_t)(colon - text) : sizeof host;

    if (len >= sizeof host)
        return -EINVAL;
    memcpy(host, text, len);
    host[len] = 0;
    addr->in.sin_family = AF_INET;
    addr->len = sizeof addr->in;
    if (strcmp(host, "*") == 0)
        addr->in.sin_addr.s_addr = htonl(INADDR_ANY);
    else if (inet_pton(AF_INET, host, &addr->in.sin_addr) != 1)
        return -EINVAL;
    return addr_parse_port(&addr->in.sin_port, colon + 1);
}

static bool addr_takes_zone(const struct in6_addr *ip)
{
    return IN6_IS_ADDR_LINKLOCAL(ip) || IN6_IS_ADDR_MC_LINKLOCAL(ip);
}

/* An interface's name, or its number. */
static int addr_parse_zone(struct sockaddr_in6 *in6, const char *zone)
{
    uint64_t index;

    if (!addr_takes_zone(&in6->sin6_addr))
        return -EINVAL;
    in6->sin6_scope_id = if_nametoindex(zone);
    if (in6->sin6_scope_id == 0 && weir_parse_uint(zone, 1, UINT32_MAX, &index) == 0)
        in6->sin6_scope_id = (uint32_t)index;
    return in6->sin6_scope_id ? 0 : -EINVAL;
}

/* `text` stands behind the '['. */
static int addr_parse_in6(struct weir_addr *addr, const char *text)
{
    const char *end = strchr(text, ']');
    char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1], *zone;
    size_t len = end ? (size_t)(end - text) : sizeof host;

    if (len >= sizeof host || end[1] != ':')
        return -EINVAL;
    memcpy(host, text, len);
    host[len] = 0;
    zone = strchr(host, '%');
    if (zone)
        *zone++ = 0;
    addr->in6.sin6_family = AF_INET6;
    addr->len = sizeof addr->in6;
    if (inet_pton(AF_INET6, host, &addr->in6.sin6_addr) != 1)
        return -EINVAL;
    if (zone && addr_parse_zone(&addr->in6, zone) < 0)
        return -EINVAL;
    return addr_parse_port(&addr->in6.sin6_port, end + 2);
}

int weir_addr_parse(struct weir_addr *addr, const char *text)
{
    struct weir_addr parsed;
    int error;

    memset(&parsed, 0, sizeof parsed);
    if (strncmp(text, "unix:", 5) == 0)
        error = addr_parse_unix(&parsed, text + 5);
    else if (text[0] == '[')
        error = addr_parse_in6(&parsed, text + 1);
    else
        error = addr_parse_in(&parsed, text);
    if (error == 0)
        *addr = parsed;
    return error;
}

/* --- to text --- */

static void addr_format_in(const struct sockaddr_in *in, char *text, size_t size)
{
    char host[INET_ADDRSTRLEN] = "*";

    if (in->sin_addr.s_addr != htonl(INADDR_ANY))
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
    snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
}

static void addr_format_in6(const struct sockaddr_in6 *in6, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN], zone[IF_NAMESIZE + 1] = "";

    inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
    if (in6->sin6_scope_id && addr_takes_zone(&in6->sin6_addr)) {
        zone[0] = '%';
        if (!if_indextoname(in6->sin6_scope_id, zone + 1))
            snprintf(zone + 1, sizeof zone - 1, "%u", in6->sin6_scope_id);
    }
    snprintf(text, size, "[%s%s]:%u", host, zone, ntohs(in6->sin6_port));
}

/* Peers choose their own names: what is not printable becomes '?'. */
static void addr_format_unix(const struct weir_addr *addr, char *text, size_t size)
{
    size_t len = addr->len - offsetof(struct sockaddr_un, sun_path);
    char name[sizeof addr->un.sun_path + 1];

    if (addr->len < offsetof(struct sockaddr_un, sun_path))
        len = 0;
    if (len > 0 && addr->un.sun_path[0] != 0)
        len = strnlen(addr->un.sun_path, len);
    for (size_t i = 0; i < len; i++) {
        char c = addr->un.sun_path[i];

        name[i] = i == 0 && c == 0 ? '@' : c > ' ' && c < 0x7f ? c : '?';
    }
    name[len] = 0;
    snprintf(text, size, "unix:%s", name);
}

const char *weir_addr_format(const struct weir_addr *addr, char *text, size_t size)
{
    if (addr->sa.sa_family == AF_INET)
        addr_format_in(&addr->in, text, size);
    else if (addr->sa.sa_family == AF_INET6)
        addr_format_in6(&addr->in6, text, size);
    else if (addr->sa.sa_family == AF_UNIX)
        addr_format_unix(addr, text, size);
    else
        snprintf(text, size, "?");
    return text;
}
