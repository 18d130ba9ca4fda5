// What programs with other people's SDKs have in common. Where the gateway is and what key to show,
// they learn from the environment, as the SDKs' documentation has it.
import assert from 'node:assert/strict';

// What the talker (talker.py) says, and the input with which it calls tools.
const said = JSON.parse(process.env.E2E_TALKER);
export const { answer, input, toolId, refusal, broken } = said;

export const CLAUDE = 'us.anthropic.claude-sonnet-4-5-20250929-v1:0';
export const NOVA = 'amazon.nova-lite-v1:0';
export const BUSY = 'amazon.nova-micro-v1:0';
export const PROMPT = 'Explain in one sentence why the sky is blue.';
export const WEATHER = 'Use get_weather to say what the weather in Cologne will be.';
export const SCHEMA = {
  type: 'object',
  properties: { city: { type: 'string' }, id: { type: 'integer' }, note: { type: 'string' } },
  required: ['city'],
};

/** More questions at once than the quota admits: each is answered, none sees a throttle. */
export async function absorb(ask) {
  const questions = Array.from({ length: 8 }, (_, n) => `${process.argv.join(' ')} ${n}`);
  const answers = await Promise.all(questions.map(ask));
  for (const text of answers) assert.match(text, /^\[simulated\]/);
}

/** JavaScript reads the big number as a double; the text must have had all its digits. */
export const lossy = () => JSON.parse(input);

export async function collect(stream) {
  const all = [];
  for await (const item of stream) all.push(item);
  return all;
}
