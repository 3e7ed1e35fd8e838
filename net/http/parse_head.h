/* parse_head.h - the hot part of the parser, as a template: parser.c includes it once for every
 * instruction set, with HTTP_ISA its name in scan.h and HTTP_TARGET the function attribute.
 *
 * Each line is parsed from its start, left to right, once its end has been received or cannot come
 * within the limit any more; until then only its end is looked for.  A function that runs out of
 * bytes says so by http_wait(), which is also where limits are refused: so a limit is found at the
 * same byte however the request was cut. */

#define HTTP_CAT_(a, b) a##b
#define HTTP_CAT(a, b) HTTP_CAT_(a, b)
#define HTTP_FN(name) HTTP_CAT(HTTP_CAT(name, _), HTTP_ISA)
#define HTTP_SCAN_SET HTTP_CAT(http_scan_set_, HTTP_ISA)
#define HTTP_SCAN_VALUE(data, at, end) HTTP_CAT(http_scan_value_, HTTP_ISA)(data, at, end, NULL)

/* Is there reason to parse the line?  Its end is there, or something that may not be in it, or the
 * limit has been reached. */
HTTP_INLINE HTTP_TARGET bool HTTP_FN(http_line_ready)(struct weir_http_parser *parser,
                                                      const char *data, struct http_reach reach)
{
    size_t at = parser->scanned;

    if (at >= reach.end || at <= parser->line_start)
        return true;
    at = HTTP_SCAN_VALUE(data, at, reach.end);
    if (at < reach.end || reach.full)
        return true;
    parser->scanned = (uint32_t)at;
    return false;
}

/* The request-target from `at` on: returns where it ended, at a byte that is not of it, or
 * reach.end.  *query is where the query starts, 0 when there is none. */
HTTP_INLINE HTTP_TARGET size_t HTTP_FN(http_target_scan)(const char *data, size_t at,
                                                         struct http_reach reach, size_t *query)
{
    for (;;) {
        at = HTTP_SCAN_SET(data, at, reach.end, &http_target);
        if (at == reach.end)
            return at;
        if (data[at] == '?') {
            at++;
            *query = *query != 0 ? *query : at;
        } else if (data[at] == '%') {
            size_t stop = http_percent(data, at, reach.end);

            if (stop != at + 3)
                return stop;
            at = stop;
        } else {
            return at;
        }
    }
}

/* 1: the request line is whole; 0: more bytes are needed; -1: refused. */
HTTP_INLINE HTTP_TARGET int HTTP_FN(http_request_line)(struct weir_http_parser *parser,
                                                       const struct weir_http_limits *limits,
                                                       const char *data, size_t len)
{
    size_t start, at, target, query = 0;
    struct http_reach reach;
    int rc;

    if (weir_unlikely(parser->line_start < len && data[parser->line_start] == '\r')) {
        rc = http_empty_lines(parser, data, len);
        if (rc <= 0)
            return rc;
    }
    start = parser->line_start;
    reach = http_reach(len, start + limits->line_max + 1);
    if (!HTTP_FN(http_line_ready)(parser, data, reach))
        return 0;

    at = HTTP_SCAN_SET(data, start, reach.end, &http_token);
    if (at == reach.end)
        return http_wait(parser, at, reach);
    if (weir_unlikely(at == start || data[at] != ' '))
        return http_refuse_method(parser, data, at);
    parser->method = http_span(start, at);
    target = ++at;
    at = HTTP_FN(http_target_scan)(data, at, reach, &query);
    if (at == reach.end)
        return http_wait(parser, at, reach);
    if (weir_unlikely(at == target || data[at] != ' '))
        return http_refuse_target(parser, data, at);
    parser->target = http_span(target, at);
    at++;
    rc = http_version(parser, data, at, len, reach);
    if (rc <= 0)
        return rc;
    parser->line_start = parser->scanned = parser->fields_start = (uint32_t)(at + 10);
    parser->authority = (struct weir_http_span){ 0, 0 };
    parser->query = query != 0 ? http_span(query, at - 1) : parser->authority;
    if (weir_likely(data[target] == '/' && parser->method.len != 7)) {
        parser->path = http_span(target, query != 0 ? query - 1 : at - 1);
        return 1;
    }
    return http_target_form(parser, data, query);
}

/* Is the value of the Host field valid?  "127.0.0.1:8080" is seen here, the rest elsewhere. */
HTTP_INLINE HTTP_TARGET bool HTTP_FN(http_host_ok)(const char *data, size_t at, size_t end)
{
    size_t stop = HTTP_SCAN_SET(data, at, end, &http_host);

    if (stop == end)
        return true;
    if (data[stop] == ':' && stop > at)
        return http_port_ok(data, stop + 1, end);
    return http_authority_ok(data, at, end);
}

/* One field line, from line_start on.  1: it is whole; 0: more bytes are needed; -1: refused. */
HTTP_INLINE HTTP_TARGET int HTTP_FN(http_field_line)(struct weir_http_parser *parser,
                                                     const char *data, size_t len,
                                                     struct http_reach reach)
{
    struct weir_http_field *field = &parser->field[parser->fields];
    size_t at, start = parser->line_start, end;

    at = HTTP_SCAN_SET(data, start, reach.end, &http_token);
    if (at == reach.end)
        return http_wait(parser, at, reach);
    if (weir_unlikely(at == start || data[at] != ':'))
        return http_refuse_name(parser, data, at);
    field->name = http_span(start, at);
    do
        at++;
    while (at < reach.end && http_is_blank(data[at]));
    start = at;
    at = HTTP_SCAN_VALUE(data, at, reach.end);
    if (at == reach.end)
        return http_wait(parser, at, reach);
    if (weir_unlikely(data[at] != '\r'))
        return http_refuse_control(parser, data[at]);
    if (weir_unlikely(at + 1 == len))
        return http_wait_at(parser, at);
    if (weir_unlikely(data[at + 1] != '\n'))
        return http_refuse(parser, 400, "bare CR");
    for (end = at; end > start && http_is_blank(data[end - 1]);)
        end--;
    field->value = http_span(start, end);
    parser->fields++;
    parser->line_start = (uint32_t)(at + 2);
    if (field->name.len == 4 && http_is(data, field->name, "host")) {
        if (parser->host != 0)
            return http_refuse(parser, 400, "more than one Host");
        if (!HTTP_FN(http_host_ok)(data, start, end))
            return http_refuse(parser, 400, "Host is not valid");
        parser->host = parser->fields;
        return 1;
    }
    if (HTTP_KNOWN_LENGTHS >> (field->name.len & 31) & 1)
        return http_known_field(parser, data, field);
    return 1;
}

/* From wherever the parser stands. */
static HTTP_TARGET HTTP_LONG_WAY int HTTP_FN(http_parse_on)(struct weir_http_parser *parser,
                                                            const struct weir_http_limits *limits,
                                                            const char *data, size_t len)
{
    struct http_reach reach;
    int rc;

    if (parser->state != HTTP_FIELDS) {
        if (parser->state != HTTP_LINE)
            return parser->state == HTTP_WHOLE ? 1 : -1;
        http_check_limits(limits);
        rc = HTTP_FN(http_request_line)(parser, limits, data, len);
        if (rc <= 0)
            return rc;
        parser->state = HTTP_FIELDS;
    }
    reach = http_reach(len, (size_t)parser->fields_start + limits->headers_max - 1);
    do {
        size_t start = parser->line_start;

        if (start == len)
            return 0;
        if (data[start] == '\r')
            return http_head_end(parser, data, len);
        if (weir_unlikely(parser->fields == limits->fields_max || start >= reach.limit))
            return http_refuse_headers(parser, limits);
        if (!HTTP_FN(http_line_ready)(parser, data, reach))
            return 0;
        rc = HTTP_FN(http_field_line)(parser, data, len, reach);
    } while (weir_likely(rc > 0));
    return rc;
}

#ifdef HTTP_BLOCKS

#include "net/http/parse_whole.h"

/* The short way is tried once a request, so that one that comes byte by byte is not begun again and
 * again: `scanned` is not 0 any more when the long way has waited. */
static HTTP_TARGET int HTTP_FN(http_parse)(struct weir_http_parser *parser,
                                           const struct weir_http_limits *limits, const char *data,
                                           size_t len)
{
    const struct http_kinds *kinds = http_kinds_hidden();
    int rc;

    if (weir_likely(parser->state == HTTP_LINE && parser->scanned == 0)) {
        if (weir_likely(HTTP_FN(http_line_plain)(kinds, parser, limits, data, len))) {
            rc = HTTP_FN(http_fields_plain)(kinds, parser, limits, data, len);
            if (weir_likely(rc != 0))
                return rc;
        }
    }
    return HTTP_FN(http_parse_on)(parser, limits, data, len);
}

#else

static int HTTP_FN(http_parse)(struct weir_http_parser *parser,
                               const struct weir_http_limits *limits, const char *data, size_t len)
{
    return HTTP_FN(http_parse_on)(parser, limits, data, len);
}

#endif

#undef HTTP_SCAN_VALUE
#undef HTTP_SCAN_SET
#undef HTTP_FN
#undef HTTP_CAT
#undef HTTP_CAT_
#undef HTTP_TARGET
#undef HTTP_ISA
