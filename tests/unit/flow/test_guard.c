/* Host and Origin: what a web page could have sent is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/flow/flow.h"

static const struct {
    const char *host, *origin;
    bool allowed;
} cases[] = {
    {"127.0.0.1:8080", NULL, true},
    {"127.0.0.1", NULL, true},
    {"[::1]:8080", NULL, true},
    {"localhost:8080", NULL, true},
    {"LOCALHOST", NULL, true},
    {"sluice.internal:8080", NULL, true},
    {"192.0.2.1", NULL, true},
    {"evil.example", NULL, false},
    {"evil.example:8080", NULL, false},
    {"localhost.evil.example", NULL, false},
    {"127.0.0.1.evil.example", NULL, false},
    {"", NULL, false},
    {"localhost:8080", "http://localhost:8080", true},
    {"localhost:8080", "http://localhost:3000", false},
    {"localhost:8080", "http://evil.example", false},
    {"localhost:8080", "null", false},
    {"localhost:8080", "", false},
};

static void only_names_that_no_page_can_choose_pass(void **state) {
    (void)state;
    static const struct sl_slice hosts[] = {SL_LIT("sluice.internal")};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_header origin = {SL_LIT("Origin"), sl_slice_str(cases[i].origin)};
        struct sl_request_head head = {.authority = sl_slice_str(cases[i].host),
                                       .headers = {&origin, cases[i].origin ? 1 : 0, 1}};
        if (sl_guard_allows(&head, hosts, 1) != cases[i].allowed)
            fail_msg("host '%s' origin '%s'", cases[i].host,
                     cases[i].origin ? cases[i].origin : "(none)");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_names_that_no_page_can_choose_pass)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
