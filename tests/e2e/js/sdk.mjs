// What programs of the AWS SDK have in common. The clients are made as in its documentation: where
// the gateway is, they learn from AWS_ENDPOINT_URL_BEDROCK_RUNTIME, like any application.
import assert from 'node:assert/strict';
import { crc32, deflateSync } from 'node:zlib';
import { BedrockRuntimeClient } from '@aws-sdk/client-bedrock-runtime';

export const CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0';
export const LLAMA = 'us.meta.llama3-3-70b-instruct-v1:0';

export function runtime(config = {}) {
  const client = new BedrockRuntimeClient(config);
  assert.equal(client.config.requestHandler.metadata.handlerProtocol, 'h2');
  return client;
}

/** Adds a header before signing, as an application's own middleware would. */
export function withHeader(client, name, value) {
  client.middlewareStack.add(
    (next) => (args) => {
      args.request.headers[name] = value;
      return next(args);
    },
    { step: 'build', name: `header-${name}` },
  );
  return client;
}

export const ask = (text) => ({ role: 'user', content: [{ text }] });

export const textOf = (message) => message.content.map((block) => block.text ?? '').join('');

/** Puts a Converse stream together: the message as Converse would return it, and how it ended. */
export async function assemble(stream) {
  const blocks = [];
  const inputs = [];
  const seen = { events: 0 };
  for await (const event of stream) {
    seen.events += 1;
    const { contentBlockStart: start, contentBlockDelta: delta } = event;
    if (start?.start?.toolUse) blocks[start.contentBlockIndex] = { toolUse: start.start.toolUse };
    if (delta?.delta.text !== undefined) {
      blocks[delta.contentBlockIndex] ??= { text: '' };
      blocks[delta.contentBlockIndex].text += delta.delta.text;
    }
    if (delta?.delta.toolUse)
      (inputs[delta.contentBlockIndex] ??= []).push(delta.delta.toolUse.input);
    if (event.messageStart) seen.role = event.messageStart.role;
    if (event.messageStop) seen.stopReason = event.messageStop.stopReason;
    if (event.metadata) seen.usage = event.metadata.usage;
  }
  inputs.forEach((parts, index) => (blocks[index].toolUse.input = JSON.parse(parts.join(''))));
  return { ...seen, message: { role: seen.role, content: blocks } };
}

function pngChunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** A valid PNG of random grey noise, which does not compress: about width × height bytes. */
export function png(width, height, noise) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const row = width + 1; // the first byte names the row's filter: none
  const rows = Buffer.alloc(row * height);
  for (let y = 0; y < height; y += 1) noise(rows.subarray(y * row + 1, (y + 1) * row));
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(rows, { level: 0 })),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}
