/** Wake-ups over real servers, each behind a proxy that can be cut: PostgreSQL's LISTEN and NOTIFY, and NATS. */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { Client } from 'pg';
import { wakeUpsBetweenNodes } from '../../packages/server/src/revocation/revocation.ts';
import { busConformance } from '../../packages/server/src/revocation/testing/wake-ups-conformance.ts';
import type { Bus } from '../../packages/server/src/world/bus.ts';
import { natsBus } from '../../packages/server/src/world/bus-nats.ts';
import { postgresBus } from '../../packages/server/src/world/bus-postgres.ts';
import { systemRandom } from '../../packages/server/src/world/random.ts';
import { TcpProxy } from './tcp-proxy.ts';

const POSTGRES = new URL(process.env.TEST_DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres');
const NATS = new URL(process.env.TEST_NATS_URL ?? 'nats://127.0.0.1:4222');
/** Nobody listens there. */
const CLOSED_PORT = 1;

function nodeOf(bus: Bus) {
  const logLines: string[] = [];
  const note = (level: string) => (message: string, fields?: object) => {
    logLines.push(JSON.stringify({ level, message, ...fields }));
  };
  const log = { info: note('info'), warn: note('warn'), error: note('error') };
  return { wakeUps: wakeUpsBetweenNodes({ bus, log, random: systemRandom }), logLines };
}

async function behindProxy(port: number) {
  let isBlocked = false;
  const proxy = await TcpProxy.listen(() => (isBlocked ? CLOSED_PORT : port));
  after(() => proxy.close());
  return {
    port: proxy.port,
    cut: () => proxy.cut(),
    async block() {
      isBlocked = true;
      proxy.cut();
    },
    async unblock() {
      isBlocked = false;
    },
  };
}

function isListening(url: URL, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(url.port || port), url.hostname);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function overPostgres() {
  if (!(await isListening(POSTGRES, 5432))) return undefined;
  const names = [randomUUID(), randomUUID()].map((name) => `countersign_wake_${name.replaceAll('-', '')}`);
  const admin = new Client({ connectionString: POSTGRES.href });
  await admin.connect();
  for (const name of names) await admin.query(`CREATE DATABASE ${name}`);
  after(async () => {
    for (const name of names) await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
  });
  const proxy = await behindProxy(Number(POSTGRES.port || 5432));
  const { user, password } = admin;
  const bus = (database: string | undefined) =>
    postgresBus({ host: 'localhost', port: proxy.port, database, user, password: password ?? 'hidden' });
  const [node, stranger] = names.map((name) => () => nodeOf(bus(name))) as [Node, Node];
  return { name: 'PostgreSQL', node, stranger, ...proxy, secrets: ['hidden', String(proxy.port)] };
}

async function overNats() {
  if (!(await isListening(NATS, 4222))) return undefined;
  const proxy = await behindProxy(Number(NATS.port || 4222));
  const bus = (subject: string) => natsBus({ url: `nats://localhost:${proxy.port}`, subject });
  const subjects = [randomUUID(), randomUUID()].map((name) => `countersign.${name}`);
  const [node, stranger] = subjects.map((subject) => () => nodeOf(bus(subject))) as [Node, Node];
  return { name: 'NATS', node, stranger, ...proxy, secrets: ['localhost', String(proxy.port)] };
}

type Node = () => ReturnType<typeof nodeOf>;

// All that is awaited stands before the first test: a file whose tests so far are over ends.
const servers = { PostgreSQL: await overPostgres(), NATS: await overNats() };
for (const [name, server] of Object.entries(servers)) {
  if (server) busConformance(server);
  else test(name, { skip: 'no server is there' }, () => {});
}
