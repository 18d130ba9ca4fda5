// Another project's imitation of Bedrock, @copilotkit/aimock, asked directly and through Sluice:
// status, headers with their spelling and order, and body must be the same bytes, and so must what it
// was asked. A recorder stands between Sluice and aimock to see that.
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { LLMock } from '@copilotkit/aimock';
import { Dialogue, main, next } from './program.mjs';
import { CLAUDE } from './sdk.mjs';
import { Upstream, collect, digest, pairs } from './upstream.mjs';

// Ids are given where aimock takes them, so that it makes none up and answers the same each time.
const CALL = { id: 'toolu_1', name: 'get_weather', arguments: '{"city": "Köln", "days": 3}' };
const USAGE = { input_tokens: 12, output_tokens: 34, prompt_tokens: 12, completion_tokens: 34 };
const FIXTURES = {
  plain: { content: 'Grüße, "quoted" 🚀 from aimock', usage: USAGE },
  long: { content: 'many words of an answer, '.repeat(4_000) },
  tool: { toolCalls: [CALL] },
  both: { content: 'let me look', toolCalls: [CALL] },
  thoughtful: { content: 'the answer', reasoning: 'a thought' },
  refused: { error: { message: 'bad', type: 'invalid_request_error' }, status: 400 },
};
const QUESTIONS = [...Object.keys(FIXTURES), 'unknown'];

const converse = (text) => ({ messages: [{ role: 'user', content: [{ text }] }] });
const claude = (text) => ({
  anthropic_version: 'bedrock-2023-05-31',
  max_tokens: 99,
  messages: [{ role: 'user', content: text }],
});
const chat = (content, stream) => ({ model: 'gpt', stream, messages: [{ role: 'user', content }] });
const responses = (input, stream) => ({ model: 'gpt', stream, input });

/** Everything of the runtime host that aimock imitates. */
const OPERATIONS = {
  [`/model/${encodeURIComponent(CLAUDE)}/invoke`]: claude,
  [`/model/${CLAUDE}/invoke`]: claude,
  [`/model/${encodeURIComponent(CLAUDE)}/invoke-with-response-stream`]: claude,
  [`/model/${encodeURIComponent(CLAUDE)}/converse`]: converse,
  [`/model/${encodeURIComponent(CLAUDE)}/converse-stream`]: converse,
  '/openai/v1/chat/completions': (text) => chat(text, false),
  '/openai/v1/chat/completions?streamed': (text) => chat(text, true),
  '/openai/v1/responses': (text) => responses(text, false),
  '/openai/v1/responses?streamed': (text) => responses(text, true),
};

/** One exchange on a connection of its own, as bytes: nothing is added to headers, or tidied. */
async function exchange(base, { method, url, headers, body }) {
  const { hostname, port, host } = new URL(base);
  const framing = [['Host', host], ['Content-Length', String(body.length)]];
  const outgoing = httpRequest({
    hostname,
    port,
    method,
    path: url,
    headers: [...framing, ...headers].flat(),
    agent: false,
  });
  outgoing.end(body);
  const [response] = await next(outgoing, 'response');
  return {
    status: response.statusCode,
    pairs: pairs(response.rawHeaders),
    body: await collect(response),
  };
}

// Of one hop, or of the moment.
const HOP = /^(connection|content-length|date|host|keep-alive|transfer-encoding)$/i;
// The gateway's own: its signature in place of the client's, and that it asks for no compression.
const OWN = /^(accept-encoding|authorization|x-amz-(content-sha256|date|security-token))$/i;

const carried = (headers, ...but) =>
  headers.filter(([name]) => ![HOP, /^x-sluice-/i, ...but].some((rule) => rule.test(name)));

async function imitation() {
  const aimock = new LLMock({ port: 0, chunkSize: 11 });
  for (const [name, answer] of Object.entries(FIXTURES)) {
    const fixed = answer.error ? {} : { id: `msg_${name}`, created: 1 };
    aimock.on({ userMessage: name }, { ...answer, ...fixed });
  }
  await aimock.start();

  const recorder = new Upstream(async (request, response) => {
    const headers = carried(request.pairs, OWN);
    const answer = await exchange(aimock.url, { ...request, headers });
    response.writeHead(answer.status, carried(answer.pairs).flat());
    response.end(answer.body);
  });
  const dialogue = new Dialogue();
  dialogue.say(await recorder.listen());
  const gateway = await dialogue.hear();

  let compared = 0;
  for (const [path, body] of Object.entries(OPERATIONS))
    for (const question of QUESTIONS) {
      await compare(aimock.url, gateway, recorder, path, JSON.stringify(body(question), null, 1));
      compared += 1;
    }
  assert.equal(compared, Object.keys(OPERATIONS).length * QUESTIONS.length);
  dialogue.say(`${compared} exchanges are equal`);
}

const words = (body) => body.toString('latin1').split(/([\w.-]+)/);

/** The same bytes, but for words that differ between two direct answers: ids that aimock makes up. */
function compareBodies(through, first, second, what) {
  if (first.equals(second)) return assert.equal(digest(through), digest(first), what);
  const [ours, one, other] = [through, first, second].map(words);
  const steady = (all) => all.filter((_, i) => one[i] === other[i]);
  assert.equal(one.length, other.length, `aimock is not steady: ${what}`);
  assert.ok(steady(one).length > 0.9 * one.length, `aimock is not steady: ${what}`);
  assert.equal(ours.length, one.length, what);
  assert.deepEqual(steady(ours), steady(one), what);
}

async function compare(direct, gateway, recorder, path, text) {
  const url = path.replace('?streamed', '');
  const headers = [
    ['Content-Type', 'application/json'],
    ['X-Request-Id', 'the-clients-own'],
    ['X-Mixed-Case', 'a  b'],
  ];
  const request = { method: 'POST', url, headers, body: Buffer.from(text) };
  const [first, second] = [await exchange(direct, request), await exchange(direct, request)];
  const through = await exchange(gateway, request);
  const what = `${path} ${text}`;

  assert.equal(through.status, first.status, what);
  compareBodies(through.body, first.body, second.body, what);
  const steady = carried(first.pairs).filter((pair, i) => pair[1] === carried(second.pairs)[i][1]);
  const volatile = carried(first.pairs).length - steady.length;
  const names = new Set(steady.map(([name]) => name));
  assert.deepEqual(carried(through.pairs).filter(([name]) => names.has(name)), steady, what);
  assert.equal(carried(through.pairs).length, steady.length + volatile, what);

  const received = recorder.requests.pop();
  assert.equal(recorder.requests.length, 0, `one call: ${what}`);
  assert.deepEqual([received.method, received.url], [request.method, url]);
  assert.equal(digest(received.body), digest(request.body), what);
  assert.deepEqual(carried(received.pairs, OWN), headers, what);
}

await main({ imitation });
