// What the SDK signs and puts on the wire, for test_verify.py: a server that answers anything with
// nothing writes down each request as a line of JSON. Over HTTP/2, so `:authority` is signed.
import { createServer } from 'node:http2';
import {
  ApplyGuardrailCommand,
  ConverseCommand,
  ConverseStreamCommand,
  CountTokensCommand,
  InvokeModelCommand,
  ListAsyncInvokesCommand,
} from '@aws-sdk/client-bedrock-runtime';
import { ask, runtime } from './sdk.mjs';

const ROUNDS = Number(process.argv[2] ?? 1);
const MODELS = [
  'meta.llama3-8b-instruct-v1:0',
  'us.anthropic.claude-sonnet-4-5-20250929-v1:0',
  'arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456',
  'arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-endpoint',
];
const TEXTS = ['hi', '', 'ünï – 漢字 😀', 'a "quoted" line\nand another\u0000', 'x'.repeat(5000)];

const seen = [];
const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const { ':method': method, ':path': target, ':authority': authority } = request.headers;
    const headers = Object.entries(request.headers).filter(([name]) => !name.startsWith(':'));
    const body = Buffer.concat(chunks).toString('base64');
    seen.push({ method, target, authority, headers, body });
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const client = runtime({
  endpoint: `http://127.0.0.1:${server.address().port}`,
  region: 'eu-central-1',
  maxAttempts: 1,
});

function commands(modelId, text) {
  const messages = [ask(text)];
  const body = JSON.stringify({ prompt: text });
  return [
    new ConverseCommand({ modelId, messages, inferenceConfig: { maxTokens: 5 } }),
    new ConverseStreamCommand({ modelId, messages }),
    new InvokeModelCommand({ modelId, body, trace: 'ENABLED', accept: '*/*' }),
    new InvokeModelCommand({ modelId, body, guardrailIdentifier: 'gr1', guardrailVersion: '1' }),
    new CountTokensCommand({ modelId, input: { converse: { messages } } }),
    new ApplyGuardrailCommand({
      guardrailIdentifier: 'arn:aws:bedrock:us-east-1:123456789012:guardrail/gr1',
      guardrailVersion: 'DRAFT',
      source: 'INPUT',
      content: [{ text: { text } }],
    }),
    new ListAsyncInvokesCommand({
      maxResults: 5,
      nextToken: `${text.slice(0, 20)}+/=& ~*'()!`,
      submitTimeAfter: new Date(1e12),
    }),
  ];
}

for (let round = 0; round < ROUNDS; round += 1)
  for (const model of MODELS)
    for (const text of TEXTS)
      // What comes back is no answer, and its reading may fail; what was sent is what counts.
      for (const command of commands(model, text)) await client.send(command).catch(() => {});

client.destroy();
server.close();
for (const request of seen) console.log(JSON.stringify(request));
