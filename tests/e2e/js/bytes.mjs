// The bytes that the SDK sends over HTTP/2 are those that reach upstream, and the bytes that
// upstream sends are those that the SDK reads: by digest, for every operation of the runtime.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:http2';
import { Transform, pipeline } from 'node:stream';
import * as sdk from '@aws-sdk/client-bedrock-runtime';
import { Dialogue, main, next } from './program.mjs';
import { CLAUDE, LLAMA, ask, runtime, withHeader } from './sdk.mjs';
import { Upstream, collect, cut, digest, event, exception, play } from './upstream.mjs';

const ID = '8f14e45f-ceea-467f-9a36-dedd4bea2543';
const JSON_HEADERS = [
  ['Date', 'Sat, 22 Nov 2025 12:00:00 GMT'],
  ['Content-Type', 'application/json'],
  ['x-amzn-RequestId', ID],
  ['X-Amzn-Bedrock-Invocation-Latency', '512'],
  ['x-future-header', 'one; two="3", four'],
  ['X-Repeated', 'a'],
  ['X-Repeated', 'b'],
];
const STREAM_HEADERS = [
  ['Date', 'Sat, 22 Nov 2025 12:00:00 GMT'],
  ['Content-Type', 'application/vnd.amazon.eventstream'],
  ['x-amzn-RequestId', ID],
  ['X-Amzn-Bedrock-Content-Type', 'application/json'],
];
const SSE_HEADERS = [
  ['Content-Type', 'text/event-stream; charset=utf-8'],
  ['x-amzn-RequestId', ID],
];

// Spelled as no serialiser would, with fields that no model knows: re-serialising would show.
const CONVERSE = `{ "usage" : {"inputTokens":1.0e1,"outputTokens":2,"totalTokens":12,"future":9},
  "output":{"message":{"role":"assistant","content":[{"text":"gr\\u00fc\\u00df \\ud83d\\ude80 ü"}]}},
\t"stopReason":"end_turn","metrics":{"latencyMs":5},"unknown":[1,1e00,{"a":1,"a":2}] }\n`;
const CONVERSE_FRAMES = [
  event('messageStart', '{"p":"abc","role":"assistant"}'),
  event('contentBlockDelta', '{"contentBlockIndex":0,"delta":{"text":"gr\\u00fc"},"p":""}'),
  event('futureEvent', '{ "nobody" : "knows" }'),
  event('contentBlockDelta', '{"contentBlockIndex":0, "delta":{"text":"ß 🚀"},"p":"abcdefghijk"}'),
  event('contentBlockStop', '{"contentBlockIndex":0}'),
  event('messageStop', '{"stopReason":"end_turn"}'),
  event(
    'metadata',
    '{"usage":{"inputTokens":7,"outputTokens":2,"totalTokens":9},"metrics":{"latencyMs":3}}',
  ),
];
const chunk = (text) =>
  event('chunk', `{"bytes":"${Buffer.from(text).toString('base64')}","p":"abcdefgh"}`);

const whole = (body, status = 200, headers = JSON_HEADERS) => ({
  status,
  headers,
  pieces: [Buffer.from(body)],
});
const inPieces = (bytes, lengths, headers = STREAM_HEADERS) => ({
  headers,
  pieces: cut(Buffer.from(bytes), lengths),
});
const streamed = (frames, lengths) => inPieces(Buffer.concat(frames), lengths);

const ARN = 'arn:aws:bedrock:us-east-1:123456789012:async-invoke/ab12cd34ef56';
const PROFILE_ARN =
  'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456';
const messages = [ask('grüß 🚀 "quoted" \u0000 \u2028')];
const blob = randomBytes(3_000_000).toString('base64');

/** What the client does, what upstream answers, and the error that the SDK makes of it, if any. */
const EXCHANGES = {
  invoke: [
    new sdk.InvokeModelCommand({
      modelId: PROFILE_ARN,
      contentType: 'application/json',
      accept: '*/*',
      trace: 'ENABLED',
      guardrailIdentifier: 'gr1abc',
      guardrailVersion: 'DRAFT',
      serviceTier: 'priority',
      performanceConfigLatency: 'optimized',
      body: '{"prompt" :"x",\n "max_gen_len": 1e2 }',
    }),
    whole('{"generation":"\\u0041","prompt_token_count":1 ,"generation_token_count":1}'),
  ],
  invokeLarge: [
    new sdk.InvokeModelCommand({
      modelId: CLAUDE,
      body: JSON.stringify({ max_tokens: 5, messages: [], blob }),
    }),
    inPieces(`{"type":"message","blob":"${blob}"}`, [65_537, 3, 9_999], JSON_HEADERS),
  ],
  invokeEmpty: [
    new sdk.InvokeModelCommand({ modelId: LLAMA, body: '{"prompt":""}' }),
    whole(''),
  ],
  invokeStream: [
    new sdk.InvokeModelWithResponseStreamCommand({
      modelId: LLAMA,
      contentType: 'application/json',
      accept: 'application/json',
      body: '{"prompt":"x"}',
    }),
    streamed([chunk('{"generation":"a "}'), chunk('{ "generation" : "b" }')], [1]),
  ],
  invokeStreamLarge: [
    new sdk.InvokeModelWithResponseStreamCommand({ modelId: LLAMA, body: '{"prompt":"y"}' }),
    streamed(Array(40).fill(chunk(`{"generation":"${blob.slice(0, 60_000)}"}`)), [70_001, 11]),
  ],
  converse: [
    new sdk.ConverseCommand({ modelId: CLAUDE, messages, requestMetadata: { team: 'grün' } }),
    whole(CONVERSE),
  ],
  converseStream: [
    new sdk.ConverseStreamCommand({ modelId: 'meta.llama3-8b-instruct-v1:0', messages }),
    streamed(CONVERSE_FRAMES, [7, 1, 64, 3]),
  ],
  converseStreamException: [
    new sdk.ConverseStreamCommand({ modelId: CLAUDE, messages: [ask('break off')] }),
    streamed(
      [
        ...CONVERSE_FRAMES.slice(0, 2),
        exception('modelStreamErrorException', '{"message":"gone","originalStatusCode":500}'),
      ],
      [1000],
    ),
    'ModelStreamErrorException',
  ],
  countTokens: [
    new sdk.CountTokensCommand({ modelId: CLAUDE, input: { converse: { messages } } }),
    whole('{ "inputTokens": 12 }'),
  ],
  applyGuardrail: [
    new sdk.ApplyGuardrailCommand({
      guardrailIdentifier: 'gr1abc',
      guardrailVersion: '7',
      source: 'INPUT',
      content: [{ text: { text: 'hello' } }],
    }),
    whole('{"action":"NONE","outputs":[],"assessments":[ ],"usage":{"topicPolicyUnits":1}}'),
  ],
  guardrailChecks: [
    new sdk.InvokeGuardrailChecksCommand({
      checks: { contentFilter: {} },
      messages: [{ role: 'user', content: [{ text: 'hello' }] }],
    }),
    whole('{ "results" : {} , "usage":{} }'),
  ],
  startAsyncInvoke: [
    new sdk.StartAsyncInvokeCommand({
      modelId: 'amazon.nova-reel-v1:1',
      clientRequestToken: 'token-1',
      modelInput: { taskType: 'TEXT_VIDEO' },
      outputDataConfig: { s3OutputDataConfig: { s3Uri: 's3://bucket/folder/' } },
    }),
    whole(`{"invocationArn":"${ARN}" }`),
  ],
  getAsyncInvoke: [
    new sdk.GetAsyncInvokeCommand({ invocationArn: ARN }),
    whole(
      `{"invocationArn":"${ARN}","modelArn":"arn:aws:bedrock:us-east-1::foundation-model/m",
        "status":"InProgress","submitTime":"2025-11-22T12:00:00Z",
        "outputDataConfig":{"s3OutputDataConfig":{"s3Uri":"s3://b"}}}`,
    ),
  ],
  listAsyncInvokes: [
    new sdk.ListAsyncInvokesCommand({
      maxResults: 5,
      statusEquals: 'Failed',
      submitTimeAfter: new Date(Date.UTC(2025, 0, 1)),
      nextToken: 'a/b+c==&d',
    }),
    whole('{"asyncInvokeSummaries":[],"nextToken":"x" }'),
  ],
  validation: [
    new sdk.ConverseCommand({ modelId: CLAUDE, messages: [] }),
    whole('{"message":"gr\\u00fc\\u00df"  }', 400, [
      ...JSON_HEADERS,
      ['x-amzn-ErrorType', 'ValidationException:http://internal.amazon.com/coral/'],
    ]),
    'ValidationException',
  ],
  modelError: [
    new sdk.InvokeModelCommand({ modelId: LLAMA, body: '{"prompt":"z"}' }),
    whole('{"message":"m","originalStatusCode":418,"resourceName":"r"}', 424, [
      ...JSON_HEADERS,
      ['x-amzn-ErrorType', 'ModelErrorException'],
    ]),
    'ModelErrorException',
  ],
  denied: [
    new sdk.InvokeModelCommand({ modelId: LLAMA, body: '{"prompt":"w"}' }),
    whole('{"Message":"no"}', 403, [
      ['x-amzn-ErrorType', 'AccessDeniedException:'],
      ['Content-Type', 'application/json'],
    ]),
    'AccessDeniedException',
  ],
};

/** What the SDK does not speak, or not so: sent as bare HTTP/2 requests. */
const SURFACES = {
  'POST /openai/v1/chat/completions': inPieces(
    'data: {"choices": [ ]}\n\n: comment\r\n\r\ndata: [DONE]\n\n',
    [5, 1],
    SSE_HEADERS,
  ),
  'POST /openai/v1/responses': whole('{ "object":"response" }'),
  'POST /anthropic/v1/messages': inPieces(
    'event: message_start\ndata: {"type":"message_start"}\n\n'.repeat(50) +
      'data: {"type":"message_stop"}\n\n',
    [13],
    SSE_HEADERS,
  ),
  'GET /async-invoke?x=%e4%2f+&&nextToken=a%3d=&empty=&flag': whole('{ }'),
  'GET /foundation-models?byProvider=meta': whole('{"modelSummaries":[ ]}'),
};

// Of one hop, or the gateway's own: its signature, and that it asks for no compression.
const NOT_CARRIED = new Set([
  'accept-encoding',
  'authorization',
  'connection',
  'content-length',
  'host',
  'transfer-encoding',
  'x-amz-content-sha256',
  'x-amz-date',
  'x-amz-security-token',
]);

const carried = (headers) =>
  Object.fromEntries(
    Object.entries(headers)
      .map(([name, value]) => [name.toLowerCase(), value])
      .filter(([name]) => !NOT_CARRIED.has(name) && !name.startsWith(':')),
  );

/** The answer's headers as HTTP/2 shows them: lower case, repeated ones joined. */
function asShown(headers) {
  const shown = {};
  for (const [name, value] of headers) {
    const key = name.toLowerCase();
    shown[key] = key in shown ? `${shown[key]}, ${value}` : value;
  }
  return shown;
}

/** Notes what goes through the client's own handler, which stays the one that it came with. */
function tap(client) {
  const handler = client.config.requestHandler;
  const handle = handler.handle.bind(handler);
  const noted = {};
  handler.handle = async (request, options) => {
    noted.request = request;
    const result = await handle(request, options);
    const { statusCode, headers } = result.response;
    noted.response = { status: statusCode, headers: { ...headers } };
    noted.body = [];
    const copying = new Transform({
      transform(piece, _, done) {
        noted.body.push(piece);
        done(null, piece);
      },
    });
    result.response.body = pipeline(result.response.body, copying, () => {});
    return result;
  };
  return noted;
}

function compareRequest(received, sent) {
  const [path, query] = received.url.split('?');
  assert.equal(received.method, sent.method);
  assert.equal(path, sent.path);
  assert.deepEqual(Object.fromEntries(new URLSearchParams(query)), { ...sent.query });
  assert.equal(digest(received.body), digest(sent.body ?? ''));
  assert.deepEqual(carried(received.headers), carried(sent.headers));
  assert.equal(received.headers['accept-encoding'], 'identity');
  assert.match(received.headers.authorization, /^AWS4-HMAC-SHA256 Credential=AKIDGATEWAY/);
}

function compareResponse({ status, headers, body }, answer) {
  assert.equal(status, answer.status ?? 200);
  assert.equal(digest(Buffer.concat(body)), digest(Buffer.concat(answer.pieces)));
  const ours = Object.keys(headers).filter((name) => name.startsWith('x-sluice-'));
  assert.ok(ours.includes('x-sluice-request-id'));
  for (const name of ours) delete headers[name];
  assert.deepEqual(carried(headers), carried(asShown(answer.headers)));
}

async function drain(output) {
  const stream = output.stream ?? output.body;
  if (stream && typeof stream[Symbol.asyncIterator] === 'function')
    for await (const _ of stream);
}

async function operations() {
  let answer;
  const upstream = new Upstream((_, response) => play(response, answer));
  const dialogue = new Dialogue();
  dialogue.say(await upstream.listen());
  const endpoint = await dialogue.hear();
  for (const [name, [command, scripted, error]] of Object.entries(EXCHANGES)) {
    answer = scripted;
    const client = runtime({ endpoint, maxAttempts: 1 });
    const noted = tap(withHeader(client, 'x-of-the-client', 'kept, as-is'));
    const call = client.send(command).then(drain);
    if (error) await assert.rejects(call, { name: error }, name);
    else await call;
    const received = upstream.requests.pop();
    assert.equal(upstream.requests.length, 0, `${name}: one request`);
    try {
      compareRequest(received, noted.request);
      compareResponse({ ...noted.response, body: noted.body }, scripted);
    } catch (difference) {
      throw new Error(`${name} is not carried as it is`, { cause: difference });
    }
    client.destroy();
  }
  await surfaces(endpoint, upstream, (scripted) => (answer = scripted));
}

async function surfaces(endpoint, upstream, script) {
  const session = connect(endpoint);
  for (const [line, answer] of Object.entries(SURFACES)) {
    script(answer);
    const [method, path] = line.split(' ');
    const body = Buffer.from(method === 'GET' ? '' : '{ "model":"openai.gpt-oss-20b-1:0" , "a":1 }');
    const sent = { 'content-type': 'application/json', 'x-of-the-client': 'kept' };
    const stream = session.request({ ':method': method, ':path': path, ...sent });
    if (body.length) stream.end(body);
    const [{ ':status': status, ...headers }] = await next(stream, 'response');
    compareResponse({ status, headers, body: [await collect(stream)] }, answer);
    const received = upstream.requests.pop();
    assert.equal(`${received.method} ${received.url}`, line);
    assert.equal(digest(received.body), digest(body));
    assert.deepEqual(carried(received.headers), sent);
  }
  session.close();
}

/**
 * One stream of a connection is not read for a while: its answer waits at upstream, not in the
 * gateway's memory, the connection's other streams go on, and at last it is whole.
 */
async function stalled() {
  const answer = { headers: STREAM_HEADERS, pieces: Array(40).fill(chunk(blob.slice(0, 600_000))) };
  const bytes = Buffer.concat(answer.pieces);
  const small = whole(CONVERSE);
  let written = 0;
  const upstream = new Upstream(async (request, response) => {
    if (!request.url.endsWith('stream')) return play(response, small);
    response.writeHead(200, answer.headers.flat());
    for (const piece of answer.pieces) {
      if (!response.write(piece)) await next(response, 'drain');
      written += piece.length;
    }
    response.end();
  });
  const dialogue = new Dialogue();
  dialogue.say(await upstream.listen());
  const session = connect(await dialogue.hear());
  // Node counts what a paused stream has not read against the connection too.
  await next(session, 'remoteSettings');
  session.setLocalWindowSize(4 << 20);
  const ask = (operation) => {
    const stream = session.request({ ':method': 'POST', ':path': `/model/${LLAMA}/${operation}` });
    stream.end('{"prompt":"x"}');
    return stream;
  };
  const slow = ask('invoke-with-response-stream');
  await next(slow, 'response');
  // Until upstream has not moved for as long as 20 other calls take.
  for (let before = -1; before !== written; ) {
    before = written;
    for (let i = 0; i < 20; i += 1)
      assert.equal(digest(await collect(ask('invoke'))), digest(Buffer.from(CONVERSE)));
  }
  assert.ok(written < bytes.length, 'upstream was held back');
  assert.equal(digest(await collect(slow)), digest(bytes));
  assert.equal(written, bytes.length);
}

/** A client that leaves takes its call along: before the head, and in the middle of a stream. */
async function leaving() {
  let closed;
  let arrived;
  const upstream = new Upstream((request, response) => {
    response.once('close', () => closed.resolve(response.writableFinished));
    if (request.url.endsWith('converse-stream')) {
      response.writeHead(200, STREAM_HEADERS.flat());
      response.write(Buffer.concat(CONVERSE_FRAMES.slice(0, 2)));
    }
    arrived.resolve();
  });
  const dialogue = new Dialogue();
  dialogue.say(await upstream.listen());
  const endpoint = await dialogue.hear();
  for (const Command of [sdk.ConverseCommand, sdk.ConverseStreamCommand]) {
    closed = Promise.withResolvers();
    arrived = Promise.withResolvers();
    const client = runtime({ endpoint, maxAttempts: 1 });
    const leave = new AbortController();
    const command = new Command({ modelId: CLAUDE, messages });
    const call = client.send(command, { abortSignal: leave.signal });
    await arrived.promise;
    if (Command === sdk.ConverseStreamCommand) {
      const events = (await call).stream[Symbol.asyncIterator]();
      assert.ok((await events.next()).value.messageStart);
      leave.abort();
      await events.return?.().catch(() => {});
    } else {
      leave.abort();
      await assert.rejects(call, { name: 'AbortError' });
    }
    assert.equal(await closed.promise, false, 'the answer was cut off');
  }
  assert.equal(upstream.requests.length, 2, 'nothing was sent twice');
}

await main({ operations, stalled, leaving });
