// The frame of every program here: the first argument names what to run, the exit code is the
// verdict, and nothing outlives the deadline.
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export const DEADLINE_MS = Number(process.env.E2E_DEADLINE_MS ?? 30_000);

/** Runs the named one of these functions; an assertion that fails, or the deadline, ends with 1. */
export async function main(functions) {
  const name = process.argv[2];
  const chosen = functions[name];
  if (!chosen) throw new Error(`no ${name} among ${Object.keys(functions)}`);
  const timer = setTimeout(() => {
    console.error(`${name}: not done within ${DEADLINE_MS} ms`);
    process.exit(1);
  }, DEADLINE_MS);
  await chosen();
  clearTimeout(timer);
  // Servers and pooled connections that are still open must not keep a finished program alive.
  process.exit(0);
}

/** The other end of stdin and stdout: the test that started this program. */
export class Dialogue {
  #lines = createInterface({ input: process.stdin });
  #read = [];
  #news;

  constructor() {
    this.#lines.on('line', (line) => {
      this.#read.push(line);
      this.#news?.();
    });
  }

  say(line) {
    process.stdout.write(`${line}\n`);
  }

  async hear() {
    while (this.#read.length === 0) await new Promise((resolve) => (this.#news = resolve));
    return this.#read.shift();
  }
}

/** Resolves with the arguments of the next such event. */
export const next = (emitter, event) => once(emitter, event);
