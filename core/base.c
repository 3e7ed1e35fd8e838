/* base.c - panics and log lines: one line on stderr each, by one write.
 *
 * Both may run where little can be relied on (a full fiber stack's handler, a half-made shard), so
 * they allocate nothing, take no lock and leave errno alone.  A line too long for the buffer is cut
 * and says so. */
#include "core/base.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 1024, CONTEXT_SIZE = 256 };

static const char line_prefix[] = "weir: ";
static const char line_cut[] = "...";

/* A line under construction; one byte is always kept for the newline. */
struct line {
    char text[LINE_SIZE];
    size_t len;
};

void (*_Atomic weir_panic_context)(char *text, size_t size);

static void line_vadd(struct line *line, const char *format, va_list args)
{
    size_t room = sizeof line->text - 1 - line->len;
    int n = vsnprintf(line->text + line->len, room, format, args);

    if (n < 0)
        return;
    if ((size_t)n < room) {
        line->len += (size_t)n;
        return;
    }
    line->len += room - 1;
    memcpy(line->text + line->len - (sizeof line_cut - 1), line_cut, sizeof line_cut - 1);
}

static WEIR_PRINTF(2, 3) void line_add(struct line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    line_vadd(line, format, args);
    va_end(args);
}

/* One write keeps the lines of several threads apart; what stderr does not take is lost. */
static void line_write(struct line *line)
{
    ssize_t n;

    line->text[line->len++] = '\n';
    do
        n = write(STDERR_FILENO, line->text, line->len);
    while (n < 0 && errno == EINTR);
}

/* A context that panics itself must not be asked again. */
static void line_add_context(struct line *line)
{
    static _Thread_local bool asked;
    char text[CONTEXT_SIZE] = "";

    if (!weir_panic_context || asked)
        return;
    asked = true;
    weir_panic_context(text, sizeof text);
    if (text[0])
        line_add(line, " (%s)", text);
}

void weir_panic(const char *format, ...)
{
    struct line line = { .len = 0 };
    va_list args;

    line_add(&line, "%s", line_prefix);
    va_start(args, format);
    line_vadd(&line, format, args);
    va_end(args);
    line_add_context(&line);
    line_write(&line);
    abort();
}

void weir_log(const char *format, ...)
{
    struct line line = { .len = 0 };
    int saved = errno;
    va_list args;

    line_add(&line, "%s", line_prefix);
    va_start(args, format);
    line_vadd(&line, format, args);
    va_end(args);
    line_write(&line);
    errno = saved;
}
