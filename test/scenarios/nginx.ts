/** A real nginx with the files of docs/operating/reverse-proxies.md, the API behind it, and bytes sent to it as they stand. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { connect } from 'node:tls';

const PLACES = ['/usr/sbin/nginx', '/usr/bin/nginx', '/usr/local/sbin/nginx', '/usr/local/bin/nginx'];

/** Where nginx stands on this machine; undefined: nowhere known. CI insists on it (scripts/test.ts). */
export const NGINX = PLACES.find((place) => existsSync(place));

/** For `test({ skip })`: false, or the reason. */
export const WITHOUT_NGINX = NGINX === undefined ? 'nginx is not installed' : false;

/** The file that the page shows under this heading. */
export function documentedFile(heading: string): string {
  const page = readFileSync(new URL('../../docs/operating/reverse-proxies.md', import.meta.url), 'utf8');
  const section = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`)) ?? '';
  const file = /^```nginx\n([\s\S]*?)^```$/m.exec(section)?.[1];
  if (file === undefined) throw new Error(`The page has no file under "${heading}"`);
  return file;
}

/** Puts this machine's addresses and files in the place of those that the page invents. Each must be there. */
export function adapted(file: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`The documented file has no "${from}"`);
    return text.replaceAll(from, to);
  }, file);
}

export interface RunningNginx {
  /** `https://localhost:<port>` */
  origin: string;
  close(): Promise<void>;
}

/** `file`: what stands in conf.d, given the port it listens on. Resolves when nginx listens. */
export async function startNginx(file: (port: number) => string): Promise<RunningNginx> {
  if (NGINX === undefined) throw new Error('nginx is not installed');
  const root = mkdtempSync(join(tmpdir(), 'countersign-nginx-'));
  const port = await freePort();
  mkdirSync(join(root, 'temporary'));
  writeFileSync(join(root, 'api.conf'), file(port));
  writeFileSync(join(root, 'nginx.conf'), frame(root));
  const child = spawn(NGINX, ['-e', 'stderr', '-p', root, '-c', join(root, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const close = async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(root, { recursive: true, force: true });
  };
  let told = '';
  const listening = new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      told += text;
      if (told.includes('start worker process ')) resolve();
    });
  });
  const isUp = await Promise.race([listening.then(() => true), ended.then(() => false)]);
  if (isUp) return { origin: `https://localhost:${port}`, close };
  await close();
  throw new Error(`nginx did not start: ${told}`);
}

function frame(root: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${root}/temporary/${name};`,
  );
  // Started by root, workers would be somebody who may not enter the folders of a test.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  return `daemon off; worker_processes 1; ${user}
pid ${root}/nginx.pid;
error_log stderr notice;
events { worker_connections 256; }
http { access_log off; ${temporary.join(' ')} include ${root}/api.conf; }
`;
}

/** What came through. */
export interface Received {
  method: string;
  target: string;
  /** Names as they were sent. */
  headers: [name: string, value: string][];
}

/** Something behind or beside nginx that writes down what it is sent. */
export async function startRecorder(
  answer: (received: Received) => { status: number; headers?: Record<string, string> },
) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const one = { method: request.method ?? '', target: request.url ?? '', headers: linesOf(request) };
    received.push(one);
    request.resume();
    const { status, headers } = answer(one);
    response.writeHead(status, headers).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP
  return {
    address: `127.0.0.1:${port}`,
    /** Everything since the last time this was called. */
    take: () => received.splice(0),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function linesOf({ rawHeaders }: IncomingMessage): [string, string][] {
  const lines: [string, string][] = [];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push([rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '']);
  return lines;
}

export interface Answered {
  status: number;
  headers: string;
}

/** Sends a request exactly as written, headers as lines, and reads the answer to its end. */
export async function send(
  origin: string,
  { method = 'GET', target = '/balance', lines = [] }: { method?: string; target?: string; lines?: readonly string[] },
): Promise<Answered> {
  const { hostname, port } = new URL(origin);
  const socket = connect({ host: hostname, port: Number(port), servername: hostname });
  const request = [`${method} ${target} HTTP/1.1`, 'Host: api.example.com', 'Connection: close', ...lines];
  socket.write(`${request.join('\r\n')}\r\n\r\n`);
  let text = '';
  for await (const chunk of socket.setEncoding('utf8')) text += String(chunk);
  const [head = ''] = text.split('\r\n\r\n', 1);
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), headers: head };
}

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // listening on TCP
  await new Promise((resolve) => server.close(resolve));
  return port;
}
