/* load_reader.c - reads HTTP/1.1 responses, as strictly as is needed to know where each one ends.
 *
 * The head must fit into the buffer; bodies are skipped as they arrive.  RFC 9112 6.3 says how long
 * a body is: none for 1xx, 204 and 304; chunked; Content-Length; else until the connection ends. */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include "load.h"

struct head {
    int status;
    bool chunked, has_length;
    uint64_t length;
};

/* More bytes behind those that are there.  > 0; 0 at the end; a negated errno. */
static int64_t reader_fill(struct load_reader *reader, weir_time deadline)
{
    int64_t n;

    if (reader->at > 0) {
        memmove(reader->data, reader->data + reader->at, reader->end - reader->at);
        reader->end -= reader->at;
        reader->at = 0;
    }
    if (reader->end == sizeof reader->data)
        return -EPROTO; /* a line or a head longer than the buffer */
    n = weir_recv(reader->conn, reader->data + reader->end, sizeof reader->data - reader->end,
                  deadline);
    if (n > 0) {
        reader->end += (size_t)n;
        reader->bytes += (uint64_t)n;
    }
    return n;
}

/* The next line, without its CRLF, NUL-terminated in place; valid until the next call. */
static int reader_line(struct load_reader *reader, char **line, weir_time deadline)
{
    size_t looked = 0;

    for (;;) {
        char *from = reader->data + reader->at;
        char *end = memchr(from + looked, '\n', reader->end - reader->at - looked);
        int64_t n;

        if (end) {
            if (end == from || end[-1] != '\r')
                return -EPROTO;
            end[-1] = 0;
            reader->at += (size_t)(end + 1 - from);
            *line = from;
            return 0;
        }
        looked = reader->end - reader->at;
        n = reader_fill(reader, deadline);
        if (n <= 0)
            return n == 0 ? -ECONNRESET : (int)n;
    }
}

static int reader_skip(struct load_reader *reader, uint64_t len, weir_time deadline)
{
    while (len > 0) {
        size_t have = reader->end - reader->at;
        int64_t n;

        if (have > len)
            have = (size_t)len;
        reader->at += have;
        len -= have;
        if (len == 0)
            break;
        n = reader_fill(reader, deadline);
        if (n <= 0)
            return n == 0 ? -ECONNRESET : (int)n;
    }
    return 0;
}

static int reader_skip_to_end(struct load_reader *reader, weir_time deadline)
{
    int64_t n;

    do {
        reader->at = reader->end;
        n = reader_fill(reader, deadline);
    } while (n > 0);
    reader->closes = true;
    return (int)n;
}

static int parse_number(const char *text, int base, uint64_t *value)
{
    static const char digits[] = "0123456789abcdef";

    *value = 0;
    if (*text == 0)
        return -EPROTO;
    for (; *text && *text != ';'; text++) {
        const char *digit = strchr(digits, *text | 0x20);
        int d = digit ? (int)(digit - digits) : base;

        if (d >= base || *value > (UINT64_MAX >> 5))
            return -EPROTO;
        *value = *value * (unsigned)base + (unsigned)d;
    }
    return 0;
}

static int parse_status(struct head *head, const char *line)
{
    if (strncmp(line, "HTTP/1.1 ", 9) != 0 && strncmp(line, "HTTP/1.0 ", 9) != 0)
        return -EPROTO;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return -EPROTO;
        head->status = head->status * 10 + (line[i] - '0');
    }
    return line[12] == ' ' || line[12] == 0 ? 0 : -EPROTO;
}

/* The value of a field line when it has this name, or NULL. */
static const char *field_value(const char *line, const char *name)
{
    size_t len = strlen(name);

    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    line += len + 1;
    return line + strspn(line, " \t");
}

static int parse_field(struct load_reader *reader, struct head *head, const char *line)
{
    const char *value;

    if ((value = field_value(line, "Content-Length")) != NULL) {
        head->has_length = true;
        return parse_number(value, 10, &head->length);
    }
    if ((value = field_value(line, "Transfer-Encoding")) != NULL)
        head->chunked = strcasecmp(value, "chunked") == 0;
    else if ((value = field_value(line, "Connection")) != NULL)
        reader->closes |= strcasecmp(value, "close") == 0;
    return 0;
}

static int reader_head(struct load_reader *reader, struct head *head, weir_time deadline)
{
    char *line;
    int error = reader_line(reader, &line, deadline);

    *head = (struct head){ 0 };
    if (!error)
        error = parse_status(head, line);
    while (!error) {
        error = reader_line(reader, &line, deadline);
        if (!error && *line == 0)
            return 0;
        if (!error)
            error = parse_field(reader, head, line);
    }
    return error;
}

static int reader_chunks(struct load_reader *reader, weir_time deadline)
{
    uint64_t len = 1;
    char *line;
    int error = 0;

    while (!error && len > 0) {
        error = reader_line(reader, &line, deadline);
        if (!error)
            error = parse_number(line, 16, &len);
        if (!error && len > 0)
            error = reader_skip(reader, len + 2, deadline);
    }
    do { /* trailer fields, and the empty line behind them */
        if (!error)
            error = reader_line(reader, &line, deadline);
    } while (!error && *line);
    return error;
}

int load_read_response(struct load_reader *reader, weir_time deadline)
{
    struct head head;
    int error;

    do {
        error = reader_head(reader, &head, deadline);
        if (error)
            return error;
    } while (head.status < 200);
    if (head.status == 204 || head.status == 304)
        error = 0;
    else if (head.chunked)
        error = reader_chunks(reader, deadline);
    else if (head.has_length)
        error = reader_skip(reader, head.length, deadline);
    else
        error = reader_skip_to_end(reader, deadline);
    return error ? error : head.status;
}

int load_read_echo(struct load_reader *reader, const char *text, size_t len, weir_time deadline)
{
    while (len > 0) {
        size_t have = reader->end - reader->at;
        int64_t n;

        if (have > len)
            have = len;
        if (memcmp(reader->data + reader->at, text, have) != 0)
            return -EPROTO;
        reader->at += have;
        text += have;
        len -= have;
        if (len == 0)
            break;
        n = reader_fill(reader, deadline);
        if (n <= 0)
            return n == 0 ? -ECONNRESET : (int)n;
    }
    return 0;
}
