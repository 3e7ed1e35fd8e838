/* chunks.c - decoder of the chunked transfer coding (RFC 9112, 7.1).
 *
 * A machine of one byte a turn for the lines, and whole views for the data between them.  Chunk
 * extensions and trailer fields are checked as strictly as the head and then dropped; white space
 * stands only where the grammar has BWS.
 *
 * Invariant: in CHUNK_DATA left > 0; line_len, ext_len and the digits of a size are within their
 * bounds. */
#include "net/http/parser.h"
#include "net/http/scan.h"

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_SEMICOLON, /* behind white space, where only ';' can follow */
    CHUNK_NAME_FIRST,
    CHUNK_NAME,
    CHUNK_EQUALS, /* behind a name and white space: '=' or ';' */
    CHUNK_VALUE_FIRST,
    CHUNK_VALUE,
    CHUNK_QUOTED,
    CHUNK_ESCAPED,
    CHUNK_QUOTED_END,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    TRAILER_FIRST,
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    TRAILER_END_LF,
    CHUNKS_DONE,
    CHUNKS_BAD,
};

enum { CHUNK_DIGITS_MAX = 16 };

static bool chunk_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static enum chunk_state chunk_digit(struct weir_http_chunks *chunks, char c)
{
    unsigned digit = c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;

    if (chunks->line_len > CHUNK_DIGITS_MAX || chunks->size > (uint64_t)INT64_MAX >> 4)
        return CHUNKS_BAD;
    chunks->size = chunks->size << 4 | digit;
    return CHUNK_SIZE;
}

/* What follows the size, a name or a value that has just ended at c. */
static enum chunk_state chunk_part_end(char c, enum chunk_state behind_blank)
{
    if (c == '\r')
        return CHUNK_SIZE_LF;
    if (c == ';')
        return CHUNK_NAME_FIRST;
    return chunk_is_blank(c) ? behind_blank : CHUNKS_BAD;
}

static enum chunk_state chunk_size_byte(struct weir_http_chunks *chunks, char c)
{
    if (http_is_hex(c))
        return chunk_digit(chunks, c);
    if (chunks->line_len == 1) /* no digit before it */
        return CHUNKS_BAD;
    return chunk_part_end(c, CHUNK_SEMICOLON);
}

static enum chunk_state chunk_quoted_byte(enum chunk_state state, char c)
{
    if (!http_value_has(c))
        return CHUNKS_BAD;
    if (state == CHUNK_ESCAPED)
        return CHUNK_QUOTED;
    if (c == '"')
        return CHUNK_QUOTED_END;
    return c == '\\' ? CHUNK_ESCAPED : CHUNK_QUOTED;
}

/* One byte of the extensions of a chunk-size line. */
static enum chunk_state chunk_ext_byte(enum chunk_state state, char c)
{
    bool token = http_set_has(&http_token, c);

    if (state == CHUNK_QUOTED || state == CHUNK_ESCAPED)
        return chunk_quoted_byte(state, c);
    if (chunk_is_blank(c) && (state == CHUNK_SEMICOLON || state == CHUNK_NAME_FIRST ||
                              state == CHUNK_EQUALS || state == CHUNK_VALUE_FIRST))
        return state;
    switch (state) {
    case CHUNK_SEMICOLON:
        return c == ';' ? CHUNK_NAME_FIRST : CHUNKS_BAD;
    case CHUNK_NAME_FIRST:
        return token ? CHUNK_NAME : CHUNKS_BAD;
    case CHUNK_NAME:
        if (c == '=')
            return CHUNK_VALUE_FIRST;
        return token ? CHUNK_NAME : chunk_part_end(c, CHUNK_EQUALS);
    case CHUNK_EQUALS:
        if (c == '=')
            return CHUNK_VALUE_FIRST;
        return c == ';' ? CHUNK_NAME_FIRST : CHUNKS_BAD;
    case CHUNK_VALUE_FIRST:
        if (c == '"')
            return CHUNK_QUOTED;
        return token ? CHUNK_VALUE : CHUNKS_BAD;
    case CHUNK_VALUE:
        return token ? CHUNK_VALUE : chunk_part_end(c, CHUNK_SEMICOLON);
    default:
        return chunk_part_end(c, CHUNK_SEMICOLON);
    }
}

/* The line of a size ends, or the data behind it. */
static enum chunk_state chunk_end_byte(struct weir_http_chunks *chunks, char c)
{
    if (chunks->state == CHUNK_DATA_CR)
        return c == '\r' ? CHUNK_DATA_LF : CHUNKS_BAD;
    if (c != '\n')
        return CHUNKS_BAD;
    chunks->line_len = 0;
    chunks->left = chunks->size;
    chunks->size = 0;
    if (chunks->state == CHUNK_DATA_LF)
        return CHUNK_SIZE;
    return chunks->left != 0 ? CHUNK_DATA : TRAILER_FIRST;
}

static enum chunk_state trailer_byte(enum chunk_state state, char c)
{
    switch (state) {
    case TRAILER_FIRST:
        if (c == '\r')
            return TRAILER_END_LF;
        return http_set_has(&http_token, c) ? TRAILER_NAME : CHUNKS_BAD;
    case TRAILER_NAME:
        if (c == ':')
            return TRAILER_VALUE;
        return http_set_has(&http_token, c) ? TRAILER_NAME : CHUNKS_BAD;
    case TRAILER_VALUE:
        if (c == '\r')
            return TRAILER_LF;
        return http_value_has(c) ? TRAILER_VALUE : CHUNKS_BAD;
    case TRAILER_LF:
        return c == '\n' ? TRAILER_FIRST : CHUNKS_BAD;
    default:
        return c == '\n' ? CHUNKS_DONE : CHUNKS_BAD;
    }
}

/* Everything but the data itself. */
static enum chunk_state chunk_byte(struct weir_http_chunks *chunks, char c)
{
    enum chunk_state state = chunks->state;

    chunks->line_len++;
    if (state >= TRAILER_FIRST)
        return chunks->line_len > WEIR_HTTP_TRAILER_MAX ? CHUNKS_BAD : trailer_byte(state, c);
    if (chunks->line_len > WEIR_HTTP_CHUNK_LINE_MAX)
        return CHUNKS_BAD;
    if (state == CHUNK_SIZE)
        return chunk_size_byte(chunks, c);
    if (state >= CHUNK_SIZE_LF)
        return chunk_end_byte(chunks, c);
    return ++chunks->ext_len > WEIR_HTTP_CHUNK_EXT_MAX ? CHUNKS_BAD : chunk_ext_byte(state, c);
}

void weir_http_chunks_init(struct weir_http_chunks *chunks)
{
    *chunks = (struct weir_http_chunks){ .state = CHUNK_SIZE };
}

static size_t chunks_data(struct weir_http_chunks *chunks, const char *data, size_t len,
                          struct weir_str *body)
{
    body->at = data;
    body->len = (size_t)weir_min_u64(chunks->left, len);
    chunks->left -= body->len;
    if (chunks->left == 0)
        chunks->state = CHUNK_DATA_CR;
    return body->len;
}

int64_t weir_http_chunks_step(struct weir_http_chunks *chunks, const char *data, size_t len,
                              struct weir_str *body, bool *done)
{
    size_t at = 0;

    *body = (struct weir_str){ data, 0 };
    while (at < len && chunks->state < CHUNKS_DONE) {
        if (chunks->state == CHUNK_DATA) {
            at += chunks_data(chunks, data + at, len - at, body);
            break;
        }
        chunks->state = chunk_byte(chunks, data[at++]);
    }
    *done = chunks->state == CHUNKS_DONE;
    return chunks->state == CHUNKS_BAD ? -1 : (int64_t)at;
}
