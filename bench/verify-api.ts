/** What the middleware adds to a request: processor time of an API per request, with it and without, in rounds that alternate. */
import { Agent, request } from 'node:http';
import { Child } from './child.ts';
import type { ApiFacts } from './verify-api-process.ts';

const ROUNDS = 15;
/** Rounds before the measured ones: sockets are opened, tokens seen for the first time, code compiled. */
const WARM_UP_ROUNDS = 2;
const REQUESTS = 3_000;
const CONNECTIONS = 16;

export interface ApiCosts {
  /** Processor time per request in each round. */
  readonly openMicroseconds: number[];
  readonly guardedMicroseconds: number[];
}

export async function measureApi(): Promise<ApiCosts> {
  const costs: ApiCosts = { openMicroseconds: [], guardedMicroseconds: [] };
  const child = new Child({ file: './verify-api-process.ts' });
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  try {
    const facts = await child.call('api');
    for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
      const order = ['open', 'guarded'] as const;
      for (const route of round % 2 === 0 ? order : order.toReversed()) {
        const before = await child.call('usage');
        await ask(agent, facts, route);
        const after = await child.call('usage');
        if (round < WARM_UP_ROUNDS) continue;
        costs[`${route}Microseconds`].push(((after.cpuMs - before.cpuMs) * 1_000) / REQUESTS);
      }
    }
  } finally {
    agent.destroy();
    await child.stop();
  }
  return costs;
}

/** Every request carries a token, on the open route too: reading the header off the wire is no cost of the middleware's. */
async function ask(agent: Agent, { port, tokens }: ApiFacts, route: string): Promise<void> {
  let sent = 0;
  const connection = async () => {
    while (sent < REQUESTS) {
      const authorization = `Bearer ${tokens[sent++ % tokens.length]}`;
      await new Promise<void>((resolve, reject) => {
        const options = { host: 'localhost', port, path: `/${route}`, agent, headers: { authorization } };
        const asked = request(options, (response) => {
          if (response.statusCode !== 200) reject(new Error(`The API answered ${response.statusCode}.`));
          response.resume().on('end', resolve);
        });
        asked.on('error', reject).end();
      });
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
}
