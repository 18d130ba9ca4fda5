#include "sim/bodies.h"

const struct sl_sim_shape *sl_sim_shape_of(enum sl_family family) {
    static const struct sl_sim_shape *const shapes[] = {
        [SL_FAMILY_CLAUDE] = &sl_sim_shape_claude,
        [SL_FAMILY_LLAMA2] = &sl_sim_shape_llama,
        [SL_FAMILY_LLAMA3] = &sl_sim_shape_llama,
        [SL_FAMILY_LLAMA4] = &sl_sim_shape_llama,
        [SL_FAMILY_NOVA] = &sl_sim_shape_nova,
        [SL_FAMILY_TITAN_TEXT] = &sl_sim_shape_titan,
        [SL_FAMILY_MISTRAL] = &sl_sim_shape_mistral,
        [SL_FAMILY_COHERE_COMMAND] = &sl_sim_shape_command,
        [SL_FAMILY_COHERE_COMMAND_R] = &sl_sim_shape_command_r,
        [SL_FAMILY_DEEPSEEK] = &sl_sim_shape_deepseek,
        [SL_FAMILY_GPT_OSS] = &sl_sim_shape_chat,
        [SL_FAMILY_JURASSIC] = &sl_sim_shape_jurassic,
    };
    return family < sizeof shapes / sizeof shapes[0] ? shapes[family] : NULL;
}

enum sl_family sl_sim_family_of_body(const cJSON *body) {
    static const struct {
        const char *key;
        enum sl_family family;
    } signs[] = {
        {"anthropic_version", SL_FAMILY_CLAUDE}, {"max_gen_len", SL_FAMILY_LLAMA3},
        {"inferenceConfig", SL_FAMILY_NOVA},     {"schemaVersion", SL_FAMILY_NOVA},
        {"inputText", SL_FAMILY_TITAN_TEXT},     {"message", SL_FAMILY_COHERE_COMMAND_R},
        {"max_tokens", SL_FAMILY_MISTRAL},       {"maxTokens", SL_FAMILY_JURASSIC},
    };
    if (sl_sim_get(body, "messages") && !sl_sim_get(body, "anthropic_version") &&
        !sl_sim_get(body, "inferenceConfig") && !sl_sim_get(body, "schemaVersion"))
        return SL_FAMILY_GPT_OSS;
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (sl_sim_get(body, signs[i].key))
            return signs[i].family;
    return SL_FAMILY_LLAMA3;
}
