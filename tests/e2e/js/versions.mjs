// HTTP/1.1 and HTTP/2 on one port at once, and as many streams on one HTTP/2 connection as there
// are requests: node's own clients, no SDK.
import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:http2';
import { main, next } from './program.mjs';
import { CLAUDE, ask } from './sdk.mjs';
import { collect } from './upstream.mjs';

const endpoint = process.env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME;
const path = `/model/${CLAUDE}/converse`;
const headers = { 'content-type': 'application/json' };
const body = (n) => JSON.stringify({ messages: [ask(`Say ${'more '.repeat(n)}now`)] });

function judge(n, status, answer) {
  assert.equal(status, 200, answer.toString());
  const [{ text }] = JSON.parse(answer).output.message.content;
  assert.match(text, new RegExp(`The prompt has ${n + 2} words`));
}

async function over1(agent, n) {
  const outgoing = httpRequest(`${endpoint}${path}`, { agent, method: 'POST', headers });
  outgoing.end(body(n));
  const [response] = await next(outgoing, 'response');
  judge(n, response.statusCode, await collect(response));
}

async function over2(session, n) {
  const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
  stream.end(body(n));
  const [answer] = await next(stream, 'response');
  judge(n, answer[':status'], await collect(stream));
}

const numbers = (count) => Array.from({ length: count }, (_, i) => i + 1);

async function mixed() {
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const sessions = numbers(4).map(() => connect(endpoint));
  await Promise.all(
    numbers(80).flatMap((n) => [over1(agent, n), over2(sessions[n % sessions.length], n)]),
  );
  assert.equal(sessions.filter((session) => session.closed || session.destroyed).length, 0);
}

async function streams200() {
  const session = connect(endpoint);
  await next(session, 'remoteSettings');
  assert.ok(session.remoteSettings.maxConcurrentStreams >= 200);
  await Promise.all(numbers(200).map((n) => over2(session, n)));
  session.close();
}

await main({ mixed, streams200 });
