// Bedrock's runtime through the AWS SDK for JavaScript and its default HTTP/2 handler, as it is
// called by applications. The upstream is the simulator: what it answers to a prompt is the same
// whatever the operation, so operations are judged by each other.
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';
import {
  ConverseCommand,
  ConverseStreamCommand,
  CountTokensCommand,
  InvokeModelCommand,
  InvokeModelWithBidirectionalStreamCommand,
  InvokeModelWithResponseStreamCommand,
  ModelStreamErrorException,
  ThrottlingException,
  ValidationException,
} from '@aws-sdk/client-bedrock-runtime';
import {
  BedrockClient,
  GetFoundationModelCommand,
  GetInferenceProfileCommand,
  ListFoundationModelsCommand,
  paginateListInferenceProfiles,
} from '@aws-sdk/client-bedrock';
import { main } from './program.mjs';
import { CLAUDE, LLAMA, ask, assemble, png, runtime, textOf, withHeader } from './sdk.mjs';

const llama = (prompt, rest = {}) => ({
  modelId: LLAMA,
  contentType: 'application/json',
  body: JSON.stringify({ prompt, max_gen_len: 256, temperature: 0.5, ...rest }),
});

async function invoke() {
  const response = await runtime().send(new InvokeModelCommand(llama('Why is the sky blue?')));
  const body = JSON.parse(response.body.transformToString());
  assert.equal(response.contentType, 'application/json');
  assert.match(response.$metadata.requestId, /^[0-9a-f-]{36}$/);
  assert.match(body.generation, /simulated/);
  assert.ok(body.prompt_token_count > 0 && body.generation_token_count > 0);
  assert.equal(body.stop_reason, 'stop');
}

/** What the cache has of other calls is not what is to be seen here. */
const fresh = (client) => withHeader(client, 'cache-control', 'no-store');

/** Every call of this client fails like that at the simulator. */
const faulty = (client, fault) => withHeader(fresh(client), 'x-simulator-fault', fault);

async function invokeStream() {
  const client = fresh(runtime());
  const whole = await client.send(new InvokeModelCommand(llama('Why is the sky blue?')));
  const expected = JSON.parse(whole.body.transformToString());
  const response = await client.send(
    new InvokeModelWithResponseStreamCommand(llama('Why is the sky blue?')),
  );
  assert.equal(response.contentType, 'application/json');
  const parts = [];
  for await (const event of response.body)
    parts.push(JSON.parse(new TextDecoder().decode(event.chunk.bytes)));
  assert.ok(parts.length > 2);
  assert.equal(parts.map((part) => part.generation).join(''), expected.generation);
  assert.equal(parts[0].prompt_token_count, expected.prompt_token_count);
  const metrics = parts.at(-1)['amazon-bedrock-invocationMetrics'];
  assert.equal(metrics.inputTokenCount, expected.prompt_token_count);
  assert.equal(metrics.outputTokenCount, expected.generation_token_count);
}

async function converse() {
  const response = await runtime().send(
    new ConverseCommand({
      modelId: CLAUDE,
      system: [{ text: 'Be brief.' }],
      messages: [ask('Why is the sky blue?')],
      inferenceConfig: { maxTokens: 300 },
    }),
  );
  const { inputTokens, outputTokens, totalTokens } = response.usage;
  assert.match(textOf(response.output.message), /simulated/);
  assert.equal(response.stopReason, 'end_turn');
  assert.ok(inputTokens > 0 && outputTokens > 0);
  assert.equal(totalTokens, inputTokens + outputTokens);
}

const TOOLS = {
  tools: [
    {
      toolSpec: {
        name: 'get_weather',
        description: 'The weather at a place',
        inputSchema: {
          json: {
            type: 'object',
            properties: {
              city: { type: 'string' },
              unit: { type: 'string', enum: ['celsius', 'fahrenheit'] },
              days: { type: 'integer' },
            },
            required: ['city'],
          },
        },
      },
    },
  ],
};

/** The whole round: the picture and the question, the tool's use, its result, the answer. */
async function converseStreamTools() {
  const client = runtime();
  const picture = png(16, 16, randomFillSync);
  const messages = [
    {
      role: 'user',
      content: [
        { image: { format: 'png', source: { bytes: picture } } },
        { text: 'Use get_weather to say what the weather in this picture will be.' },
      ],
    },
  ];
  const turn = async () => {
    const input = { modelId: CLAUDE, messages, toolConfig: TOOLS };
    return assemble((await client.send(new ConverseStreamCommand(input))).stream);
  };
  const first = await turn();
  assert.equal(first.stopReason, 'tool_use');
  assert.equal(first.role, 'assistant');
  assert.ok(first.usage.inputTokens > 1600, 'the picture counts');
  const { toolUse } = first.message.content.find((block) => block.toolUse);
  assert.equal(toolUse.name, 'get_weather');
  assert.equal(toolUse.input.unit, 'celsius');
  assert.equal(typeof toolUse.input.city, 'string');

  const { toolUseId } = toolUse;
  const content = [{ toolResult: { toolUseId, content: [{ json: { forecast: 'rain' } }] } }];
  messages.push(first.message, { role: 'user', content });
  const second = await turn();
  assert.equal(second.stopReason, 'end_turn');
  assert.match(textOf(second.message), /simulated/);
  assert.ok(second.usage.inputTokens > first.usage.inputTokens);
}

async function countTokens() {
  const client = runtime();
  const input = { messages: [ask('How many tokens are in this sentence?')] };
  const model = 'anthropic.claude-3-5-haiku-20241022-v1:0';
  const { usage } = await client.send(new ConverseCommand({ modelId: model, ...input }));
  const counted = await client.send(
    new CountTokensCommand({ modelId: model, input: { converse: input } }),
  );
  assert.equal(counted.inputTokens, usage.inputTokens);
  const body = new TextEncoder().encode(
    JSON.stringify({
      anthropic_version: 'bedrock-2023-05-31',
      max_tokens: 10,
      messages: [{ role: 'user', content: 'How many tokens are in this sentence?' }],
    }),
  );
  const native = await client.send(
    new CountTokensCommand({ modelId: model, input: { invokeModel: { body } } }),
  );
  assert.ok(native.inputTokens > 0);
}

/** The gateway waits for quota, but not beyond the deadline that a client sets. */
async function throttle() {
  const client = withHeader(
    faulty(runtime({ maxAttempts: 1 }), 'throttle'),
    'x-sluice-timeout',
    '1',
  );
  const calls = [
    new ConverseCommand({ modelId: CLAUDE, messages: [ask('hi')] }),
    new ConverseStreamCommand({ modelId: CLAUDE, messages: [ask('hi')] }),
    new InvokeModelCommand(llama('hi')),
    new InvokeModelWithResponseStreamCommand(llama('hi')),
  ];
  for (const call of calls)
    await assert.rejects(client.send(call), (error) => {
      assert.ok(error instanceof ThrottlingException, error);
      assert.equal(error.$metadata.httpStatusCode, 429);
      assert.match(error.message, /^requests: .*Please wait \d+ s/);
      return true;
    });
}

async function validation() {
  const client = runtime();
  const messages = [{ role: 'assistant', content: [{ text: 'me first' }] }];
  const input = { modelId: CLAUDE, messages };
  for (const call of [new ConverseCommand(input), new ConverseStreamCommand(input)])
    await assert.rejects(client.send(call), (error) => {
      assert.ok(error instanceof ValidationException, error);
      assert.equal(error.$metadata.httpStatusCode, 400);
      assert.match(error.message, /must start with a user message/);
      return true;
    });
  await assert.rejects(client.send(new InvokeModelCommand(llama('hi', { top_p: 7 }))), (error) => {
    assert.ok(error instanceof ValidationException, error);
    assert.match(error.message, /Malformed input request/);
    return true;
  });
}

/** Not carried: the error says what to do instead, at once, though the upload has no end. */
async function bidirectional() {
  async function* body() {
    yield { chunk: { bytes: new TextEncoder().encode('{"event":{"sessionStart":{}}}') } };
    await new Promise(() => {});
  }
  const call = new InvokeModelWithBidirectionalStreamCommand({
    modelId: 'amazon.nova-sonic-v1:0',
    body: body(),
  });
  await assert.rejects(runtime({ maxAttempts: 1 }).send(call), (error) => {
    assert.equal(error.$metadata.httpStatusCode, 404);
    assert.match(error.message, /AWS_ENDPOINT_URL_BEDROCK_RUNTIME/);
    return true;
  });
}

async function exceptionMidway() {
  const client = faulty(runtime(), 'exception-midway');
  const chat = await client.send(
    new ConverseStreamCommand({ modelId: CLAUDE, messages: [ask('Tell me 200 words.')] }),
  );
  const raw = await client.send(
    new InvokeModelWithResponseStreamCommand(llama('Tell me 200 words.')),
  );
  for (const stream of [chat.stream, raw.body]) {
    let events = 0;
    const read = async () => {
      for await (const event of stream) events += event ? 1 : 0;
    };
    await assert.rejects(read(), (error) => {
      assert.ok(error instanceof ModelStreamErrorException, error);
      return true;
    });
    assert.ok(events > 1, `${events} events before the exception`);
  }
}

async function prompt200KB() {
  const client = runtime();
  const input = { modelId: CLAUDE, messages: [ask('word '.repeat(40_000))] };
  const { usage } = await client.send(new ConverseCommand(input));
  assert.ok(usage.inputTokens > 49_000 && usage.inputTokens < 51_000, usage.inputTokens);
  const { stream } = await client.send(new ConverseStreamCommand(input));
  const streamed = await assemble(stream);
  assert.equal(streamed.usage.inputTokens, usage.inputTokens);
  assert.equal(streamed.stopReason, 'end_turn');
}

/** A picture of 15 MB is 20 MB in base64, which is how it goes into the body. */
async function body20MB() {
  const bytes = png(5000, 3000, randomFillSync);
  const { usage } = await runtime().send(
    new ConverseCommand({
      modelId: CLAUDE,
      messages: [
        {
          role: 'user',
          content: [{ image: { format: 'png', source: { bytes } } }, { text: 'What is this?' }],
        },
      ],
    }),
  );
  assert.ok(usage.inputTokens > 1600);
}

/** 200 at once on one client, every other one streamed, and each must get the answer to its own. */
async function requests200() {
  const client = runtime();
  const one = async (n) => {
    const prompt = `Say ${'more '.repeat(n)}now`;
    const input = { modelId: CLAUDE, messages: [ask(prompt)] };
    const message =
      n % 2
        ? (await client.send(new ConverseCommand(input))).output.message
        : (await assemble((await client.send(new ConverseStreamCommand(input))).stream)).message;
    assert.match(textOf(message), new RegExp(`The prompt has ${n + 2} words`));
  };
  await Promise.all(Array.from({ length: 200 }, (_, n) => one(n + 1)));
}

async function listings() {
  const client = new BedrockClient({});
  const { modelSummaries } = await client.send(new ListFoundationModelsCommand({}));
  const base = LLAMA.slice('us.'.length);
  assert.ok(modelSummaries.some((model) => model.modelId === base));
  const { modelDetails } = await client.send(
    new GetFoundationModelCommand({ modelIdentifier: base }),
  );
  assert.equal(modelDetails.modelId, base);
  const profiles = [];
  for await (const page of paginateListInferenceProfiles({ client, pageSize: 10 }, {}))
    profiles.push(...page.inferenceProfileSummaries);
  assert.ok(profiles.length > 10, 'more than a page');
  assert.ok(profiles.some((profile) => profile.inferenceProfileId === LLAMA));
  const profile = await client.send(
    new GetInferenceProfileCommand({ inferenceProfileIdentifier: LLAMA }),
  );
  assert.equal(profile.status, 'ACTIVE');
}

/** Head, first token and the rest come apart: the SDK's GOAWAY arrives while the answer flows. */
async function goaway() {
  const client = runtime();
  const input = { modelId: CLAUDE, messages: [ask('Tell me a story in 60 words.')] };
  const whole = client.send(new ConverseCommand(input));
  const started = performance.now();
  const { stream } = await client.send(new ConverseStreamCommand(input));
  const streamed = await assemble(stream);
  const took = performance.now() - started;
  assert.deepEqual(streamed.message, (await whole).output.message);
  assert.equal(streamed.stopReason, 'end_turn');
  assert.ok(streamed.usage.outputTokens > 30);
  assert.ok(took > 400, `not slow, so nothing is shown: ${took} ms`);
}

await main({
  invoke,
  invokeStream,
  converse,
  converseStreamTools,
  countTokens,
  throttle,
  validation,
  bidirectional,
  exceptionMidway,
  prompt200KB,
  body20MB,
  requests200,
  listings,
  goaway,
});
