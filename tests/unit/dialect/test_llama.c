/* Llama 2 prompts as scripts write them, in Llama 3's template. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dialect/llama.h"

#define BOS              "<|begin_of_text|>"
#define TURN(role, text) "<|start_header_id|>" role "<|end_header_id|>\n\n" text "<|eot_id|>"
#define ASSISTANT        "<|start_header_id|>assistant<|end_header_id|>\n\n"

static const struct {
    const char *llama2, *llama3;
} cases[] = {
    {"no template at all", "no template at all"},
    {"[INST] Hi [/INST]", BOS TURN("user", "Hi") ASSISTANT},
    {"<s>[INST]Hi[/INST]\n", BOS TURN("user", "Hi") ASSISTANT},
    {"[INST] never closed", BOS TURN("user", "never closed") ASSISTANT},
    {"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]",
     BOS TURN("system", "Be brief.") TURN("user", "Hi") ASSISTANT},
    {"<s>[INST] A [/INST] B </s><s>[INST] C [/INST]",
     BOS TURN("user", "A") TURN("assistant", "B") TURN("user", "C") ASSISTANT},
    {"[INST] A [/INST] B [INST] C [/INST]",
     BOS TURN("user", "A") TURN("assistant", "B") TURN("user", "C") ASSISTANT},
    {"You are helpful.\n[INST] A [/INST]",
     BOS TURN("system", "You are helpful.") TURN("user", "A") ASSISTANT},
};

static void every_way_of_writing_it_is_read(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_buf out;
        sl_buf_init(&out, 4096);
        assert_int_equal(sl_llama_from_llama2(&out, sl_slice_str(cases[i].llama2), false), SL_OK);
        assert_int_equal(sl_buf_terminate(&out), SL_OK);
        assert_string_equal(out.ptr, cases[i].llama3);
        sl_buf_done(&out);
    }
}

static void llama4_has_its_own_tokens(void **state) {
    (void)state;
    struct sl_buf out;
    sl_buf_init(&out, 4096);
    assert_int_equal(sl_llama_from_llama2(&out, SL_LIT("[INST] Hi [/INST]"), true), SL_OK);
    assert_int_equal(sl_buf_terminate(&out), SL_OK);
    assert_string_equal(out.ptr, BOS "<|header_start|>user<|header_end|>\n\nHi<|eot|>"
                                     "<|header_start|>assistant<|header_end|>\n\n");
    sl_buf_done(&out);
}

static void stops_at_the_buffers_maximum(void **state) {
    (void)state;
    struct sl_buf out;
    sl_buf_init(&out, 20);
    assert_int_equal(sl_llama_from_llama2(&out, SL_LIT("[INST] Hi [/INST]"), false), SL_E_LIMIT);
    sl_buf_done(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_of_writing_it_is_read),
        cmocka_unit_test(llama4_has_its_own_tokens),
        cmocka_unit_test(stops_at_the_buffers_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
