/* parse_whole.h - the short way through a request whose bytes are all there and that is plain.
 *
 * A part of the template parse_head.h.  64 bytes at a time are sorted into kinds, one bit each; the
 * ends of names and values are then found in the bits.  Nothing is refused or waited for here but
 * by the functions that know the fields: whatever is rare, wrong or not whole is left, from the
 * start of its line, to the long way, so there is one place where each verdict is made.
 *
 * Invariant: line_start and fields stand behind the last line that was taken. */

#define HTTP_BLOCK_AT HTTP_CAT(http_block_, HTTP_ISA)
#define HTTP_RUN HTTP_CAT(http_run_, HTTP_ISA)

/* The request line; false: the long way.  Nothing has been changed then. */
HTTP_INLINE HTTP_TARGET bool HTTP_FN(http_line_plain)(const struct http_kinds *kinds,
                                                      struct weir_http_parser *parser,
                                                      const struct weir_http_limits *limits,
                                                      const char *data, size_t len)
{
    struct http_reach reach = { len, 0, false };
    size_t method = 3, target, at, query = 0;

    if (weir_unlikely(len < 36))
        return false;
    if (weir_unlikely(http_load32(data) != http_word32("GET "))) {
        method = HTTP_SCAN_SET(data, 0, len, &http_token);
        if (len - method < 33 || method == 0 || data[method] != ' ' || method == 7)
            return false; /* 7: OPTIONS and CONNECT have targets of their own */
    }
    target = method + 1;
    at = target + HTTP_RUN(kinds, data + target, &kinds->target);
    if (weir_unlikely(at == len || data[at] != ' '))
        at = HTTP_FN(http_target_scan)(data, at, reach, &query);
    if (weir_unlikely(len - at < sizeof " HTTP/1.1\r\n" - 1 || at + 8 >= limits->line_max))
        return false;
    if (weir_unlikely(data[target] != '/' || memcmp(data + at, " HTTP/1.1\r\n", 11) != 0))
        return false;
    parser->method = http_span(0, method);
    parser->target = http_span(target, at);
    parser->path = http_span(target, query != 0 ? query - 1 : at);
    parser->query = query != 0 ? http_span(query, at) : http_span(0, 0);
    parser->authority = http_span(0, 0);
    parser->line_start = parser->fields_start = (uint32_t)(at + 11);
    parser->state = HTTP_FIELDS;
    return true;
}

/* Is the value of the Host field valid? */
HTTP_INLINE HTTP_TARGET bool HTTP_FN(http_host_plain)(const struct http_kinds *kinds,
                                                      const char *data, size_t len,
                                                      struct weir_http_span value)
{
    size_t run;

    if (weir_unlikely(len - value.at < 32 || value.len > 32))
        return HTTP_FN(http_host_ok)(data, value.at, value.at + value.len);
    run = HTTP_RUN(kinds, data + value.at, &kinds->host);
    if (weir_likely(run >= value.len))
        return true;
    if (data[value.at + run] == ':' && run > 0)
        return http_port_ok(data, value.at + run + 1, value.at + value.len);
    return http_authority_ok(data, value.at, value.at + value.len);
}

/* A field whose name begins like one that matters: 1: taken; 0: the long way; -1: refused. */
HTTP_INLINE HTTP_TARGET int HTTP_FN(http_field_special)(const struct http_kinds *kinds,
                                                        struct weir_http_parser *parser,
                                                        const char *data, size_t len,
                                                        const struct weir_http_field *field)
{
    uint32_t name_len = field->name.len;

    if (name_len != 4 || http_lower32(data + field->name.at) != http_word32("host")) {
        if (name_len < 32 && (HTTP_KNOWN_LENGTHS >> name_len & 1))
            return http_known_field(parser, data, field);
        return name_len != 0;
    }
    if (parser->host != 0 || !HTTP_FN(http_host_plain)(kinds, data, len, field->value))
        return 0;
    parser->host = 1 + (uint32_t)(field - parser->field);
    return 1;
}

/* The field lines.  1: the head is whole; 0: go on the long way; -1: refused. */
HTTP_INLINE HTTP_TARGET int HTTP_FN(http_fields_plain)(const struct http_kinds *kinds,
                                                       struct weir_http_parser *parser,
                                                       const struct weir_http_limits *limits,
                                                       const char *data, size_t len)
{
    struct weir_http_field *field = parser->field;
    const struct weir_http_field *fields_end =
        field + (limits->fields_max < WEIR_HTTP_FIELDS ? limits->fields_max : WEIR_HTTP_FIELDS);
    size_t line = parser->line_start, limit = line + limits->headers_max - 1;
    size_t end = len - 1 < limit ? len - 1 : limit; /* a CR before it has a byte behind it */
    size_t base = line - 2, cr = 0; /* the block; in it, the CR of the line before */
    struct http_block block = HTTP_BLOCK_AT(kinds, data, base, end);
    int rc = 0;

    while (weir_likely(field != fields_end)) {
        uint64_t bits = block.nontoken >> cr >> 2;
        size_t colon, value, stop;
        uint16_t pair;

        line = base + cr + 2;
        if (weir_unlikely(bits == 0)) {
            base += cr;
            cr = 0;
            block = HTTP_BLOCK_AT(kinds, data, base, end);
            bits = block.nontoken >> 2;
            if (weir_unlikely(bits == 0))
                break; /* not whole, or a very long name */
        }
        field->name.at = (uint32_t)line;
        field->name.len = (uint32_t)__builtin_ctzll(bits);
        colon = cr + 2 + field->name.len;
        value = base + colon + 2;
        pair = http_load16(data + base + colon);
        if (weir_unlikely(pair != http_word16(": "))) {
            if (pair == http_word16("\r\n") && field->name.len == 0)
                goto whole;
            if ((char)pair != ':')
                break;
            value--;
        }
        bits = block.nonvalue >> colon;
        while (weir_unlikely(bits == 0)) {
            base += colon != 0 ? colon : HTTP_BLOCK;
            colon = 0;
            if (base >= end)
                goto out;
            block = HTTP_BLOCK_AT(kinds, data, base, end);
            bits = block.nonvalue;
        }
        cr = colon + (size_t)__builtin_ctzll(bits);
        stop = base + cr;
        if (weir_unlikely(http_load16(data + stop) != http_word16("\r\n")))
            break;
        field->value = http_span(value, stop);
        if (weir_unlikely((uint8_t)data[value] <= ' ' || (uint8_t)data[stop - 1] <= ' '))
            field->value = http_trim(data, value, stop);
        if (HTTP_SPECIAL_LETTERS >> (data[field->name.at] & 31) & 1) {
            rc = HTTP_FN(http_field_special)(kinds, parser, data, len, field);
            if (weir_unlikely(rc <= 0))
                break;
            rc = 0;
        }
        field++;
        line = stop + 2;
    }
out:
    parser->fields = (uint32_t)(field - parser->field);
    parser->line_start = (uint32_t)line;
    return rc;

whole:
    if (weir_unlikely(parser->host == 0 || parser->authority.len != 0))
        goto out;
    parser->fields = (uint32_t)(field - parser->field);
    parser->head_len = (uint32_t)(line + 2);
    parser->state = HTTP_WHOLE;
    return 1;
}

#undef HTTP_RUN
#undef HTTP_BLOCK_AT
