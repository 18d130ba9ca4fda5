// A small HTTP server in the place of Bedrock, independent of the program under test: it keeps each
// request as it came and answers what it is told. And an event stream's frames, for its answers.
import { createServer } from 'node:http';
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';

export const digest = (bytes) => createHash('sha256').update(bytes).digest('hex');

export async function collect(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** [name, value, name, value, …] of node as [[name, value], …]. */
export function pairs(rawHeaders) {
  const found = [];
  for (let i = 0; i < rawHeaders.length; i += 2) found.push([rawHeaders[i], rawHeaders[i + 1]]);
  return found;
}

export class Upstream {
  requests = [];
  #server;

  /** answer(request, response): request is what #keep makes, response node's own. */
  constructor(answer) {
    this.#server = createServer({ keepAliveTimeout: 60_000 }, async (incoming, response) => {
      response.sendDate = false;
      const request = await this.#keep(incoming);
      await answer(request, response);
    });
  }

  async #keep(incoming) {
    const { method, url, rawHeaders, headers } = incoming;
    const body = await collect(incoming);
    const request = { method, url, headers, pairs: pairs(rawHeaders), body };
    this.requests.push(request);
    return request;
  }

  async listen() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${this.#server.address().port}`;
  }
}

/** Plays [status, headers, pieces]: the pieces one by one, or at once where there is only one. */
export async function play(response, { status = 200, headers, pieces }) {
  response.writeHead(status, headers.flat());
  for (const piece of pieces.slice(0, -1))
    if (!response.write(piece)) await new Promise((resolve) => response.once('drain', resolve));
  response.end(pieces.at(-1));
}

/** Cuts bytes into pieces of these lengths, over and over. */
export function cut(bytes, lengths) {
  const pieces = [];
  for (let at = 0, i = 0; at < bytes.length; at += lengths[i++ % lengths.length])
    pieces.push(bytes.subarray(at, at + lengths[i % lengths.length]));
  return pieces;
}

const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};

/** One message of application/vnd.amazon.eventstream; all headers are strings. */
export function frame(headers, payload) {
  const block = Buffer.concat(
    Object.entries(headers).map(([name, value]) => {
      const text = Buffer.from(value);
      return Buffer.concat([
        Buffer.from([name.length]),
        Buffer.from(name),
        Buffer.from([7, text.length >> 8, text.length & 255]),
        text,
      ]);
    }),
  );
  const body = Buffer.from(payload);
  const lengths = Buffer.concat([u32(16 + block.length + body.length), u32(block.length)]);
  const message = Buffer.concat([lengths, u32(crc32(lengths)), block, body]);
  return Buffer.concat([message, u32(crc32(message))]);
}

/** An event as Bedrock frames it; payload is JSON text, so that its spelling can be unusual. */
export const event = (type, payload) =>
  frame(
    { ':event-type': type, ':content-type': 'application/json', ':message-type': 'event' },
    payload,
  );

export const exception = (type, payload) =>
  frame(
    { ':exception-type': type, ':content-type': 'application/json', ':message-type': 'exception' },
    payload,
  );
