/* test_addr.c - addresses as text: every form there and back, and what is refused. */
#include "tests/core/testing.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <weir/net.h>
#include "core/base.h"

static void test_there_and_back(void **state)
{
    static const char *const texts[] = {
        "192.0.2.1:80",
        "0.1.2.3:1",
        "255.255.255.255:65535",
        "127.0.0.1:0",
        "*:80",
        "*:0",
        "[2001:db8::1]:80",
        "[::]:80",
        "[::1]:65535",
        "[::ffff:192.0.2.1]:443",
        "[fe80::1%lo]:80",
        "[fe80::1]:80",
        "[ff02::1%lo]:80",
        "[2001:db8:1111:2222:3333:4444:5555:6666]:10000",
        "unix:/run/app.sock",
        "unix:relative.sock",
        "unix:@abstract",
        "unix:@a",
        "unix:a",
    };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(texts); i++) {
        char text[WEIR_ADDR_TEXT];
        struct weir_addr addr;

        assert_int_equal(weir_addr_parse(&addr, texts[i]), 0);
        assert_string_equal(weir_addr_format(&addr, text, sizeof text), texts[i]);
    }
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "",
        ":",
        "80",
        ":80",
        "localhost:80",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:080",
        "192.0.2.1:00",
        "192.0.2.1:-1",
        "192.0.2.1:+1",
        "192.0.2.1: 80",
        "192.0.2.1:80 ",
        " 192.0.2.1:80",
        "192.0.2.1 :80",
        "192.0.2.1:80:90",
        "192.0.2.1:http",
        "192.0.2.1:0x50",
        "192.0.2:80",
        "192.0.2.1.5:80",
        "192.0.2.256:80",
        "192.0.2.01:80",
        "0300.0.2.1:80",
        "3221225985:80",
        "**:80",
        "*",
        "2001:db8::1:80",
        "[2001:db8::1]",
        "[2001:db8::1]80",
        "[2001:db8::1]:",
        "[2001:db8::1:80",
        "[2001:db8::1]:80]",
        "[2001:db8::1%lo]:80", /* a zone without need of one */
        "[::1%lo]:80",
        "[fe80::1%]:80",
        "[fe80::1%0]:80",
        "[fe80::1%nosuchif]:80",
        "[fe80::1%01x]:80",
        "[]:80",
        "[*]:80",
        "[192.0.2.1]:80",
        "[1:2:3:4:5:6:7:8:9]:80",
        "[2001:db8::1::2]:80",
        "unix:",
        "unix:@",
        "Unix:/a",
        "unix/a",
    };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(texts); i++) {
        struct weir_addr addr;

        memset(&addr, 0x5a, sizeof addr);
        if (weir_addr_parse(&addr, texts[i]) != -EINVAL)
            fail_msg("'%s' was taken", texts[i]);
        assert_int_equal(addr.len, 0x5a5a5a5a); /* untouched */
    }
}

static void test_what_is_in_it(void **state)
{
    struct weir_addr addr;

    (void)state;
    assert_int_equal(weir_addr_parse(&addr, "192.0.2.1:8080"), 0);
    assert_int_equal(addr.len, sizeof(struct sockaddr_in));
    assert_int_equal(addr.in.sin_family, AF_INET);
    assert_int_equal(addr.in.sin_port, htons(8080));
    assert_int_equal(addr.in.sin_addr.s_addr, htonl(0xc0000201));

    assert_int_equal(weir_addr_parse(&addr, "*:1"), 0);
    assert_int_equal(addr.in.sin_addr.s_addr, htonl(INADDR_ANY));

    assert_int_equal(weir_addr_parse(&addr, "[fe80::1%lo]:1"), 0);
    assert_int_equal(addr.len, sizeof(struct sockaddr_in6));
    assert_int_equal(addr.in6.sin6_scope_id, if_nametoindex("lo"));
    assert_int_equal(weir_addr_parse(&addr, "[fe80::1%7]:1"), 0);
    assert_int_equal(addr.in6.sin6_scope_id, 7);

    assert_int_equal(weir_addr_parse(&addr, "unix:/a"), 0);
    assert_int_equal(addr.len, offsetof(struct sockaddr_un, sun_path) + 3);
    assert_string_equal(addr.un.sun_path, "/a");
    assert_int_equal(weir_addr_parse(&addr, "unix:@ab"), 0);
    assert_int_equal(addr.len, offsetof(struct sockaddr_un, sun_path) + 3);
    assert_memory_equal(addr.un.sun_path, "\0ab", 3);
}

/* "unix:" and a name of `len` bytes. */
static int parse_unix_of(size_t len, char first, struct weir_addr *addr)
{
    char text[256] = "unix:";

    memset(text + 5, 'x', len);
    text[5] = first;
    text[5 + len] = 0;
    return weir_addr_parse(addr, text);
}

static void test_longest_unix_name(void **state)
{
    const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    char text[WEIR_ADDR_TEXT];
    struct weir_addr addr;

    (void)state;
    assert_int_equal(parse_unix_of(max, '/', &addr), 0);
    assert_int_equal(strlen(weir_addr_format(&addr, text, sizeof text)), 5 + max);
    assert_int_equal(parse_unix_of(max + 1, '/', &addr), -EINVAL);
    assert_int_equal(parse_unix_of(max, '@', &addr), 0);
    assert_int_equal(strlen(weir_addr_format(&addr, text, sizeof text)), 5 + max);
    assert_int_equal(parse_unix_of(max + 1, '@', &addr), -EINVAL);
}

static void test_format_what_peers_are_called(void **state)
{
    struct weir_addr addr = { .un.sun_family = AF_UNIX, .len = sizeof(sa_family_t) };
    char text[WEIR_ADDR_TEXT], small[6];

    (void)state;
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "unix:");

    memcpy(addr.un.sun_path, "\0a\0b\nc", 6);
    addr.len = offsetof(struct sockaddr_un, sun_path) + 6;
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "unix:@a?b?c");

    memset(addr.un.sun_path, 'p', sizeof addr.un.sun_path); /* all of it, no NUL */
    addr.len = sizeof addr.un;
    assert_int_equal(strlen(weir_addr_format(&addr, text, sizeof text)),
                     5 + sizeof addr.un.sun_path);

    addr.un.sun_family = AF_UNSPEC;
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "?");
    assert_int_equal(weir_addr_parse(&addr, "192.0.2.1:80"), 0);
    assert_string_equal(weir_addr_format(&addr, small, sizeof small), "192.0");

    assert_int_equal(weir_addr_parse(&addr, "[fe80::1%2000000000]:1"), 0); /* no such interface */
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "[fe80::1%2000000000]:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_what_is_in_it),
        cmocka_unit_test(test_longest_unix_name),
        cmocka_unit_test(test_format_what_peers_are_called),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
