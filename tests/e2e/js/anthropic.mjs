// Anthropic's SDK for JavaScript, to Claude and to a model that is reached through Converse.
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import Anthropic from '@anthropic-ai/sdk';
import { main } from './program.mjs';
import { png } from './sdk.mjs';
import * as talk from './talk.mjs';

const api = () => new Anthropic({ maxRetries: 0 }).messages;
const user = (content) => [{ role: 'user', content }];
const TOOLS = [{ name: 'get_weather', description: 'The weather.', input_schema: talk.SCHEMA }];
const textOf = (message) => message.content.map((block) => block.text ?? '').join('');

async function simulated() {
  for (const model of [talk.CLAUDE, talk.NOVA]) {
    const request = { model, max_tokens: 300, messages: user(talk.PROMPT) };
    const whole = await api().create(request);
    assert.match(textOf(whole), /^\[simulated\]/);
    const stream = api().stream(request);
    let heard = '';
    stream.on('text', (text) => (heard += text));
    const final = await stream.finalMessage();
    assert.equal(heard, textOf(whole));
    assert.deepEqual(final.content, whole.content);
    assert.equal(final.stop_reason, 'end_turn');
    assert.equal(final.usage.output_tokens, whole.usage.output_tokens);

    const data = png(8, 8, randomFillSync).toString('base64');
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data } };
    const content = [image, { type: 'text', text: talk.PROMPT }];
    const seen = await api().create({ ...request, messages: user(content) });
    assert.match(textOf(seen), /1 attachments/);
  }
}

async function talking() {
  for (const model of [talk.CLAUDE, talk.NOVA]) {
    const request = { model, max_tokens: 300, messages: user(talk.WEATHER), tools: TOOLS };
    const { content, stop_reason: reason } = await api().create(request);
    assert.equal(reason, 'tool_use');
    assert.equal(content[0].id, talk.toolId);
    assert.deepEqual(content[0].input, talk.lossy());
    const stream = api().stream(request);
    let heard = '';
    stream.on('streamEvent', (event) => (heard += event.delta?.partial_json ?? ''));
    assert.deepEqual((await stream.finalMessage()).content[0].input, talk.lossy());
    assert.equal(heard, talk.input);
    const result = { type: 'tool_result', tool_use_id: talk.toolId, content: 'rain' };
    const messages = [...request.messages, { role: 'assistant', content }, ...user([result])];
    assert.equal(textOf(await api().create({ ...request, messages })), talk.answer);

    const ask = { model, max_tokens: 9 };
    const bad = await api().create({ ...ask, messages: user('refuse') }).catch((e) => e);
    assert.ok(bad instanceof Anthropic.BadRequestError, bad);
    assert.equal(bad.error.error.message, talk.refusal);
    const broken = api().stream({ ...ask, messages: user('break') });
    await assert.rejects(talk.collect(broken), (e) => e instanceof Anthropic.APIError);
  }
  const busy = await api()
    .create(
      { model: talk.BUSY, max_tokens: 9, messages: user('throttle') },
      { headers: { 'x-sluice-timeout': '500ms' } },
    )
    .catch((e) => e);
  assert.ok(busy instanceof Anthropic.RateLimitError, busy);
}

async function throttled() {
  const model = 'us.anthropic.claude-opus-4-6-v1';
  await talk.absorb(async (question) =>
    textOf(await api().create({ model, max_tokens: 300, messages: user(question) })),
  );
}

await main({ simulated, talking, throttled });
