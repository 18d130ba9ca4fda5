// OpenAI's SDK for JavaScript, by chat completions and responses.
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import OpenAI from 'openai';
import { main } from './program.mjs';
import { png } from './sdk.mjs';
import * as talk from './talk.mjs';

const client = () => new OpenAI({ maxRetries: 0 });
const user = (content) => [{ role: 'user', content }];
const FUNCTION = { name: 'get_weather', description: 'The weather.', parameters: talk.SCHEMA };
const TOOLS = [{ type: 'function', function: FUNCTION }];

async function simulated() {
  const api = client();
  for (const model of [talk.NOVA, talk.CLAUDE]) {
    const request = { model, messages: user(talk.PROMPT) };
    const whole = await api.chat.completions.create(request);
    assert.match(whole.choices[0].message.content, /^\[simulated\]/);
    const options = { stream: true, stream_options: { include_usage: true } };
    const stream = await api.chat.completions.create({ ...request, ...options });
    const chunks = await talk.collect(stream);
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual(chunks.at(-1).usage, whole.usage);
    assert.equal(chunks.at(-2).choices[0].finish_reason, 'stop');
  }
  const url = `data:image/png;base64,${png(8, 8, randomFillSync).toString('base64')}`;
  const content = [{ type: 'text', text: talk.PROMPT }, { type: 'image_url', image_url: { url } }];
  const seen = await api.chat.completions.create({ model: talk.NOVA, messages: user(content) });
  assert.match(seen.choices[0].message.content, /1 attachments/);

  const said = await api.responses.create({ model: talk.NOVA, input: talk.PROMPT });
  const stream = api.responses.stream({ model: talk.NOVA, input: talk.PROMPT });
  assert.equal((await stream.finalResponse()).output_text, said.output_text);
  assert.match(said.output_text, /^\[simulated\]/);

  const embedded = await api.embeddings.create({
    model: 'amazon.titan-embed-text-v2:0',
    input: ['one', 'two'],
  });
  assert.deepEqual(embedded.data.map((item) => item.index), [0, 1]);
  const listed = await talk.collect(await api.models.list());
  assert.ok(listed.some((model) => model.id === talk.NOVA));
  assert.equal((await api.models.retrieve(talk.NOVA)).id, talk.NOVA);
}

async function talking() {
  const api = client().chat.completions;
  const request = { model: talk.NOVA, messages: user(talk.WEATHER), tools: TOOLS };
  const { message, finish_reason: reason } = (await api.create(request)).choices[0];
  assert.equal(reason, 'tool_calls');
  assert.equal(message.tool_calls[0].function.arguments, talk.input);
  const streamed = await api.stream(request).finalChatCompletion();
  assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, talk.input);
  const result = { role: 'tool', tool_call_id: talk.toolId, content: 'rain' };
  const messages = [...request.messages, message, result];
  const last = await api.create({ ...request, messages });
  assert.equal(last.choices[0].message.content, talk.answer);

  const bad = await api.create({ model: talk.NOVA, messages: user('refuse') }).catch((e) => e);
  assert.ok(bad instanceof OpenAI.BadRequestError, bad);
  assert.match(bad.message, new RegExp(talk.refusal));
  const busy = await api
    .create(
      { model: talk.BUSY, messages: user('throttle') },
      { headers: { 'x-sluice-timeout': '500ms' } },
    )
    .catch((e) => e);
  assert.ok(busy instanceof OpenAI.RateLimitError, busy);
  assert.equal(busy.code, 'rate_limit_exceeded');
  const stream = await api.create({ model: talk.NOVA, messages: user('break'), stream: true });
  const failure = await talk.collect(stream).catch((e) => e);
  assert.ok(failure instanceof OpenAI.APIError && failure.message.includes(talk.broken), failure);
}

async function throttled() {
  const model = 'mistral.mistral-large-2402-v1:0';
  await talk.absorb(async (question) => {
    const done = await client().chat.completions.create({ model, messages: user(question) });
    return done.choices[0].message.content;
  });
}

await main({ simulated, talking, throttled });
