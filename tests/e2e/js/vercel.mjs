// The Vercel AI SDK: one program for @ai-sdk/openai, by both of OpenAI's APIs, and
// @ai-sdk/amazon-bedrock. The second argument says which.
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import { createAmazonBedrock } from '@ai-sdk/amazon-bedrock';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';
import { main } from './program.mjs';
import { png } from './sdk.mjs';
import * as talk from './talk.mjs';

const PROVIDERS = {
  chat: (model) => createOpenAI().chat(model),
  responses: (model) => createOpenAI().responses(model),
  bedrock: (model) => createAmazonBedrock()(model),
};
const QUOTAS = {
  chat: 'us.meta.llama4-scout-17b-instruct-v1:0',
  responses: 'us.meta.llama4-maverick-17b-instruct-v1:0',
  bedrock: 'us.meta.llama3-3-70b-instruct-v1:0',
};
const model = PROVIDERS[process.argv[3]];
const ONCE = { maxRetries: 0 };

async function simulated() {
  for (const id of [talk.NOVA, talk.CLAUDE]) {
    const request = { model: model(id), prompt: talk.PROMPT, ...ONCE };
    const whole = await generateText(request);
    assert.match(whole.text, /^\[simulated\]/);
    assert.equal(whole.finishReason, 'stop');
    const streamed = streamText(request);
    const parts = await talk.collect(streamed.textStream);
    assert.equal(parts.join(''), whole.text);
    assert.equal((await streamed.usage).outputTokens, whole.usage.outputTokens);
    assert.ok(whole.usage.outputTokens > 5);
  }
  const image = png(8, 8, randomFillSync);
  const content = [{ type: 'text', text: talk.PROMPT }, { type: 'image', image }];
  const messages = [{ role: 'user', content }];
  const seen = await generateText({ model: model(talk.NOVA), messages, ...ONCE });
  assert.match(seen.text, /1 attachments/);
}

/** Calls its tool, and answers from what that says. */
function weather(heard) {
  return tool({
    description: 'The weather.',
    inputSchema: jsonSchema(talk.SCHEMA),
    execute: async (input) => {
      heard.push(input);
      return 'rain';
    },
  });
}

async function talking() {
  const heard = [];
  const request = {
    model: model(talk.NOVA),
    prompt: talk.WEATHER,
    tools: { get_weather: weather(heard) },
    stopWhen: stepCountIs(3),
    ...ONCE,
  };
  assert.equal((await generateText(request)).text, talk.answer);
  const streamed = streamText(request);
  assert.equal((await talk.collect(streamed.textStream)).join(''), talk.answer);
  assert.equal((await streamed.steps).length, 2);
  assert.deepEqual(heard, [talk.lossy(), talk.lossy()]);

  const bad = await generateText({ model: model(talk.NOVA), prompt: 'refuse', ...ONCE }).catch(
    (e) => e,
  );
  assert.ok(APICallError.isInstance(bad) && bad.statusCode === 400 && !bad.isRetryable, bad);
  assert.match(bad.message, new RegExp(talk.refusal));
  const headers = { 'x-sluice-timeout': '500ms' };
  const busy = await generateText({
    model: model(talk.BUSY), prompt: 'throttle', headers, ...ONCE,
  }).catch((e) => e);
  assert.ok(APICallError.isInstance(busy) && busy.statusCode === 429 && busy.isRetryable, busy);
  const errors = [];
  const broken = streamText({
    model: model(talk.NOVA), prompt: 'break', onError: ({ error }) => errors.push(error), ...ONCE,
  });
  const text = (await talk.collect(broken.textStream)).join('');
  assert.ok(text && talk.answer.startsWith(text));
  assert.equal(errors.length, 1);
  assert.match(JSON.stringify(errors[0]?.message ?? errors[0]), /broke down/);
}

async function throttled() {
  const id = QUOTAS[process.argv[3]];
  await talk.absorb(async (prompt) => {
    const { text } = await generateText({ model: model(id), prompt, ...ONCE });
    return text;
  });
}

await main({ simulated, talking, throttled });
