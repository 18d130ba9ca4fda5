// Clients that wait for a slow answer with timers shorter than it: which of them hold on is printed
// as a line of JSON, the answer or what they gave up with. Each asks with its own name as the prompt.
//
// fetch's timer of 300 s stands in its dispatcher, and so does that of the SDKs that use fetch.
import { BedrockRuntimeClient, ConverseCommand } from '@aws-sdk/client-bedrock-runtime';
import Anthropic from '@anthropic-ai/sdk';
import { NodeHttp2Handler } from '@smithy/node-http-handler';
import OpenAI from 'openai';
import * as undici from 'undici';
import { main } from './program.mjs';
import { CLAUDE, ask } from './sdk.mjs';

const { E2E_URL: url, E2E_READ_TIMEOUT_MS } = process.env;
const MS = Number(E2E_READ_TIMEOUT_MS);
const NOVA = 'amazon.nova-lite-v1:0';

/** A dispatcher of the fetch that is built into Node, which exists from the first use on. */
async function builtIn() {
  await fetch(`${url}/health`);
  const { constructor: Agent } = globalThis[Symbol.for('undici.globalDispatcher.1')];
  return new Agent({ headersTimeout: MS });
}

async function converse(fetcher, dispatcher, name) {
  const body = JSON.stringify({ messages: [ask(name)] });
  const headers = { 'content-type': 'application/json' };
  const answer = await fetcher(`${url}/model/${NOVA}/converse`, {
    method: 'POST', headers, body, dispatcher,
  }); // prettier-ignore
  return (await answer.json()).output.message.content[0].text;
}

async function openai(dispatcher, name) {
  const client = new OpenAI({
    baseURL: `${url}/v1`, apiKey: 'any', maxRetries: 0, fetchOptions: { dispatcher },
  }); // prettier-ignore
  const messages = [{ role: 'user', content: name }];
  const done = await client.chat.completions.create({ model: NOVA, messages });
  return done.choices[0].message.content;
}

async function anthropic(dispatcher, name) {
  const client = new Anthropic({
    baseURL: url, apiKey: 'any', maxRetries: 0, fetchOptions: { dispatcher },
  }); // prettier-ignore
  const messages = [{ role: 'user', content: name }];
  return (await client.messages.create({ model: CLAUDE, max_tokens: 99, messages })).content[0].text;
}

/** The SDK's own handler has a session for each request, with a session timer of 300 s. */
async function aws(timers, name) {
  const requestHandler = new NodeHttp2Handler({ disableConcurrentStreams: true, ...timers });
  const client = new BedrockRuntimeClient({ maxAttempts: 1, requestHandler });
  const done = await client.send(new ConverseCommand({ modelId: NOVA, messages: [ask(name)] }));
  return done.output.message.content[0].text;
}

/** The answer, or the name of what was thrown and of its innermost cause. */
async function outcome(name, work) {
  try {
    return [name, { answer: await work(name) }];
  } catch (error) {
    let cause = error;
    while (cause.cause) cause = cause.cause;
    return [name, { error: `${error.name}: ${error.message}; ${cause.name}: ${cause.message}` }];
  }
}

async function wait() {
  const own = await builtIn();
  const installed = new undici.Agent({ headersTimeout: MS });
  const outcomes = await Promise.all([
    outcome('node fetch', (name) => converse(fetch, own, name)),
    outcome('undici', (name) => converse(undici.fetch, installed, name)),
    outcome('openai js', (name) => openai(own, name)),
    outcome('anthropic js', (name) => anthropic(own, name)),
    outcome('aws sdk js', (name) => aws({ sessionTimeout: MS }, name)),
    outcome('aws sdk js, requestTimeout', (name) => aws({ requestTimeout: MS }, name)),
  ]);
  console.log(JSON.stringify(Object.fromEntries(outcomes)));
}

await main({ wait });
