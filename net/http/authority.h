/* authority.h - is this a host, with or without a port?  (RFC 3986, 3.2; RFC 9110, 7.2) */
#ifndef WEIR_NET_HTTP_AUTHORITY_H
#define WEIR_NET_HTTP_AUTHORITY_H

#include <weir/base.h>

enum weir_http_port {
    WEIR_HTTP_PORT_OPTIONAL, /* "host", "host:", "host:80" */
    WEIR_HTTP_PORT_REQUIRED, /* "host:80" */
};

/* A non-empty name or IPv4 address, or an IPv6 address in brackets; no user information. */
bool weir_http_authority_ok(struct weir_str text, enum weir_http_port port);

/* What may stand behind the colon: at most five digits, at most 65,535, perhaps none. */
bool weir_http_port_ok(const char *text, size_t len);

#endif
