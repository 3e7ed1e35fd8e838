/* date.c - the Date field, and the first bytes of every answer that contain it.
 *
 * The text is made at most once a second, by the first answer of that second: a server that has
 * nothing to answer is not woken for its clock.
 *
 * Invariant: before prefix_until, server->prefix says the current second. */
#include <string.h>
#include <time.h>
#include "net/http/server.h"
#include "sched/shard.h"

/* Simulated time begins here: Sat, 01 Jan 2000 00:00:00 GMT. */
#define SIM_EPOCH WEIR_SEC(946684800)

struct date {
    int64_t year;
    unsigned month, day; /* from 1 */
};

/* Days since 1970-01-01 in the proleptic Gregorian calendar.  Years are counted from March, so that
 * the leap day is the last of its year, and in eras of 400 years, which all have as many days. */
static struct date date_of_days(int64_t days)
{
    int64_t from_0000_03 = days + 719468;
    int64_t era = (from_0000_03 >= 0 ? from_0000_03 : from_0000_03 - 146096) / 146097;
    int64_t day = from_0000_03 - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* 0: March */

    return (struct date){
        .year = era * 400 + year + (month >= 10),
        .month = (unsigned)(month < 10 ? month + 3 : month - 9),
        .day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1),
    };
}

static void put_digits(char *at, int count, int64_t value)
{
    while (count-- > 0) {
        at[count] = (char)('0' + value % 10);
        value /= 10;
    }
}

void weir_http_date_format(char text[WEIR_HTTP_DATE_LEN], int64_t seconds)
{
    int64_t days = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400;
    int64_t second = seconds - days * 86400;
    int64_t weekday = ((days + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    struct date date = date_of_days(days);

    memcpy(text, "Day, 00 Mon 0000 00:00:00 GMT", WEIR_HTTP_DATE_LEN);
    memcpy(text, &"SunMonTueWedThuFriSat"[weekday * 3], 3);
    put_digits(text + 5, 2, date.day);
    memcpy(text + 8, &"JanFebMarAprMayJunJulAugSepOctNovDec"[(date.month - 1) * 3], 3);
    put_digits(text + 12, 4, date.year);
    put_digits(text + 17, 2, second / 3600);
    put_digits(text + 20, 2, second / 60 % 60);
    put_digits(text + 23, 2, second % 60);
}

int64_t weir_http_wall_clock(void)
{
    const struct weir_shard *shard = weir_shard_here("weir_http_serve");
    struct timespec now;

    if (shard->wake_fd < 0) /* only a simulated shard has none */
        return SIM_EPOCH + shard->now;
    clock_gettime(CLOCK_REALTIME, &now);
    return WEIR_SEC(now.tv_sec) + now.tv_nsec;
}

void weir_http_prefix_make(struct weir_http_server *server)
{
    weir_time now = weir_now();
    int64_t wall;
    char *end = server->prefix;

    wall = weir_http_wall_clock();
    server->prefix_until = now + WEIR_SEC(1) - wall % WEIR_SEC(1);
    end = stpcpy(end, "HTTP/1.1 200 OK\r\n");
    if (server->config.server) {
        end = stpcpy(end, "Server: ");
        end = stpcpy(end, server->config.server);
        end = stpcpy(end, "\r\n");
    }
    end = stpcpy(end, "Date: ");
    weir_http_date_format(end, wall / WEIR_SEC(1));
    end = stpcpy(end + WEIR_HTTP_DATE_LEN, "\r\n");
    server->prefix_len = (uint32_t)(end - server->prefix);
    server->typed_len = 0;
    weir_assert(server->prefix_len < sizeof server->prefix);
}
