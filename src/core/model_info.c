/*
 * What scheduling and accounting need to know of each model, by prefix of the base id.
 *
 * Sources: Bedrock user guide, "Quotas for Amazon Bedrock" (burndown 5 of Claude 3.7 and 4),
 * "Prompt caching" (least tokens of a prefix), the providers' model pages (longest output). Too
 * large a longest output or burndown only leaves quota unused until a call ends; too small a one
 * is met as a throttle, which the scheduler learns from: so doubts are settled upwards.
 *
 * Unverified, as AWS's page could not be read when this was written: the burndown of 10 and 15 of
 * Claude Opus 4.8, Sonnet 5, Opus 5, Fable and GPT-5, everything about models newer than those, the
 * image figures of all but Claude, and the cache minimum where a comment says so.
 */
#include "sluice/core/model.h"

#define PROFILE_ONLY true

/* Longer prefixes first: the first match wins. The empty one at the end matches all. */
static const struct {
    struct sl_slice prefix;
    struct sl_model_info info;
} table[] = {
    /* clang-format off */
    /*                                       burndown, output, cache, image */
    {SL_LIT("anthropic.claude-3-haiku"),         {1,   4096,    0, 1600, false}},
    {SL_LIT("anthropic.claude-3-sonnet"),        {1,   4096,    0, 1600, false}},
    {SL_LIT("anthropic.claude-3-opus"),          {1,   4096,    0, 1600, false}},
    {SL_LIT("anthropic.claude-3-5-haiku"),       {1,   8192, 2048, 1600, false}},
    {SL_LIT("anthropic.claude-3-5-sonnet-20240620"), {1, 4096,  0, 1600, false}},
    {SL_LIT("anthropic.claude-3-5-sonnet"),      {1,   8192, 1024, 1600, false}},
    {SL_LIT("anthropic.claude-3-7-sonnet"),      {5,  64000, 1024, 1600, PROFILE_ONLY}},
    {SL_LIT("anthropic.claude-sonnet-4-6"),      {5,  64000, 2048, 1600, PROFILE_ONLY}},
    {SL_LIT("anthropic.claude-sonnet-4"),        {5,  64000, 1024, 1600, PROFILE_ONLY}}, /* 4, 4.5 */
    {SL_LIT("anthropic.claude-haiku-4"),         {5,  64000, 4096, 1600, PROFILE_ONLY}},
    {SL_LIT("anthropic.claude-opus-4-5"),        {5,  64000, 4096, 1600, PROFILE_ONLY}},
    {SL_LIT("anthropic.claude-opus-4-6"),        {5, 128000, 4096, 1600, PROFILE_ONLY}},
    {SL_LIT("anthropic.claude-opus-4-7"),        {5, 128000, 2048, 4800, PROFILE_ONLY}},
    {SL_LIT("anthropic.claude-opus-4-8"),       {15, 128000, 1024, 4800, PROFILE_ONLY}},
    {SL_LIT("anthropic.claude-opus-4"),          {5,  32000, 1024, 1600, PROFILE_ONLY}}, /* 4, 4.1 */
    {SL_LIT("anthropic.claude-v"),               {1,   4096,    0,    0, false}},
    {SL_LIT("anthropic.claude-instant"),         {1,   4096,    0,    0, false}},
    {SL_LIT("anthropic.claude-sonnet-5"),       {10, 128000, 1024, 4800, PROFILE_ONLY}},
    /* Opus 5, Fable and what comes after them; the cache minimum is a guess. */
    {SL_LIT("anthropic.claude"),                {10, 128000, 1024, 4800, PROFILE_ONLY}},

    {SL_LIT("meta.llama2"),                      {1,   2048,    0,    0, false}},
    {SL_LIT("meta.llama3-1"),                    {1,   8192,    0,    0, PROFILE_ONLY}},
    {SL_LIT("meta.llama3-2"),                    {1,   8192,    0, 6404, PROFILE_ONLY}},
    {SL_LIT("meta.llama3-3"),                    {1,   8192,    0,    0, PROFILE_ONLY}},
    {SL_LIT("meta.llama3"),                      {1,   2048,    0,    0, false}},
    {SL_LIT("meta.llama4"),                      {1,   8192,    0, 2500, PROFILE_ONLY}},

    {SL_LIT("amazon.nova-premier"),              {1,  10000,    0, 1800, PROFILE_ONLY}},
    {SL_LIT("amazon.nova-pro"),                  {1,  10000, 1024, 1800, false}},
    {SL_LIT("amazon.nova-lite"),                 {1,  10000, 1536, 1800, false}},
    {SL_LIT("amazon.nova-micro"),                {1,  10000, 1536,    0, false}},
    {SL_LIT("amazon.nova-2-multimodal-embed"),   {1,      0,    0, 1800, false}},
    {SL_LIT("amazon.nova-2"),                    {1,  64000, 1536, 1800, PROFILE_ONLY}}, /* cache: as Lite */
    {SL_LIT("amazon.titan-embed"),               {1,      0,    0, 1600, false}},
    {SL_LIT("amazon.titan-text-lite"),           {1,   4096,    0,    0, false}},
    {SL_LIT("amazon.titan-text-premier"),        {1,   3072,    0,    0, false}},
    {SL_LIT("amazon.titan"),                     {1,   8192,    0,    0, false}},

    {SL_LIT("mistral.mixtral"),                  {1,   4096,    0,    0, false}},
    {SL_LIT("mistral.pixtral"),                  {1,   8192,    0, 4096, PROFILE_ONLY}},
    {SL_LIT("mistral.magistral"),                {1,  40000,    0, 4096, false}},
    {SL_LIT("mistral."),                         {1,   8192,    0, 4096, false}},

    {SL_LIT("cohere.command-r"),                 {1,   4000,    0,    0, false}},
    {SL_LIT("cohere.command"),                   {1,   4096,    0,    0, false}},
    {SL_LIT("cohere."),                          {1,      0,    0, 1600, false}}, /* embed, rerank */

    {SL_LIT("deepseek.r1"),                      {1,  32768,    0,    0, PROFILE_ONLY}},
    {SL_LIT("deepseek."),                        {1,  81920,    0,    0, false}},
    {SL_LIT("openai.gpt-oss"),                   {1,  16384,    0,    0, false}},
    {SL_LIT("openai.gpt"),                      {10, 128000,    0, 1600, false}},
    {SL_LIT("qwen."),                            {1,  65536,    0, 4096, false}},
    {SL_LIT("moonshotai.kimi-k3"),               {1, 128000,    0, 4096, PROFILE_ONLY}},
    {SL_LIT("zai.glm-5.3"),                      {1, 128000,    0, 4096, PROFILE_ONLY}},
    {SL_LIT("writer."),                          {1,   8192,    0,    0, PROFILE_ONLY}},
    {SL_LIT("ai21."),                            {1,   4096,    0,    0, false}},
    {SL_EMPTY,                                   {1,   4096,    0, 1600, false}},
    /* clang-format on */
};

const struct sl_model_info *sl_model_info(struct sl_slice model) {
    struct sl_slice base = sl_model_base(model);
    size_t i = 0;
    while (!sl_slice_starts(base, table[i].prefix))
        i++;
    return &table[i].info;
}
