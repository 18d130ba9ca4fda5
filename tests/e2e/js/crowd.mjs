// Many clients of the AWS SDK for JavaScript in one program, which ask the same at once. Its test
// says where, what, and of how many; it is told what each of them understood, or why it failed.
import { ConverseCommand, ConverseStreamCommand } from '@aws-sdk/client-bedrock-runtime';
import { Dialogue, main } from './program.mjs';
import { LLAMA, ask, assemble, runtime, textOf } from './sdk.mjs';

const dialogue = new Dialogue();

async function one(client, text, n) {
  const input = { modelId: LLAMA, messages: [ask(text)] };
  if (n % 2) {
    const { output, stopReason, usage } = await client.send(new ConverseCommand(input));
    return [textOf(output.message), stopReason, usage];
  }
  const { stream } = await client.send(new ConverseStreamCommand(input));
  const { message, stopReason, usage } = await assemble(stream);
  return [textOf(message), stopReason, usage];
}

/** One line a crowd: {"url", "text", "count"} in, its answers out; an empty line ends it. */
async function crowds() {
  for (let line = await dialogue.hear(); line; line = await dialogue.hear()) {
    const { url, text, count } = JSON.parse(line);
    const client = runtime({ endpoint: url, maxAttempts: 1 });
    const asked = Array.from({ length: count }, (_, n) =>
      one(client, text, n).catch((error) => `${error.name}: ${error.message}`),
    );
    dialogue.say(JSON.stringify(await Promise.all(asked)));
    client.destroy();
  }
}

await main({ crowds });
