// A new certificate while a stream runs on the old one. The test holds the stream at its first
// event, changes the certificate and says so; then new connections must show the new one, and the
// stream go on.
import assert from 'node:assert/strict';
import { connect } from 'node:tls';
import { ConverseCommand, ConverseStreamCommand } from '@aws-sdk/client-bedrock-runtime';
import { Dialogue, main, next } from './program.mjs';
import { CLAUDE, ask, runtime } from './sdk.mjs';

/** The serial number of what a new connection is shown; it must also be one that speaks HTTP/2. */
async function serial() {
  const { hostname, port } = new URL(process.env.AWS_ENDPOINT_URL_BEDROCK_RUNTIME);
  const socket = connect({ host: hostname, port: Number(port), ALPNProtocols: ['h2'] });
  await next(socket, 'secureConnect');
  assert.ok(socket.authorized, socket.authorizationError);
  assert.equal(socket.alpnProtocol, 'h2');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

async function reload() {
  const client = runtime({ maxAttempts: 1 });
  const dialogue = new Dialogue();
  const { stream } = await client.send(
    new ConverseStreamCommand({ modelId: CLAUDE, messages: [ask('held')] }),
  );
  const events = stream[Symbol.asyncIterator]();
  const { value } = await events.next();
  assert.ok(value.messageStart);
  dialogue.say(await serial());

  assert.equal(await dialogue.hear(), 'reloaded');
  dialogue.say(await serial());
  // The SDK opens a connection for each request, so this one meets the new certificate.
  await client.send(new ConverseCommand({ modelId: CLAUDE, messages: [ask('another')] }));

  dialogue.say('goes on');
  const types = [];
  for (let event = await events.next(); !event.done; event = await events.next())
    types.push(...Object.keys(event.value));
  assert.equal(types.at(-1), 'metadata');
  assert.ok(types.includes('messageStop'));
}

await main({ reload });
