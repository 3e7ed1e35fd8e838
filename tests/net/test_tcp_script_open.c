#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

static void rfc9293_3_5_passive_open(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) win 1000 mss 1460");
    out("S. 0:0(0) ack 1 win 65535 mss 1460");
    state_is(WEIR_TCP_SYN_RECEIVED);
    in(". 1:1(0) ack 1 win 1000");
    nothing();
    state_is(WEIR_TCP_ESTABLISHED);
    accepted();
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc9293_3_5_passive_open),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
