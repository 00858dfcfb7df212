import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';

export interface RawAnswer {
  status: number;
  /** Each header line, names in lower case, in the order in which they came: two of one name stay two. */
  headers: [name: string, value: string][];
  body: string;
}

/**
 * One request with exactly these headers, `Host` included, and the answer with every header line by itself: `fetch` forbids the one
 * and joins the other. Follows nothing. A `path` is sent as it stands.
 */
export function rawRequest(
  origin: string,
  asked: { method?: string; path: string; headers?: Record<string, string>; body?: string },
): Promise<RawAnswer> {
  const { protocol, hostname, port } = new URL(origin);
  // The certificate is that of the origin, whatever the Host header says.
  const socket = { hostname, port, servername: hostname, agent: false as const };
  const request = protocol === 'https:' ? tlsRequest : plainRequest;
  return new Promise((resolve, reject) => {
    const { method = 'GET', path, headers = {}, body } = asked;
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const call = request({ ...socket, path, method, headers: { ...length, ...headers } }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        const lines: [string, string][] = [];
        for (let at = 0; at < answer.rawHeaders.length; at += 2) {
          lines.push([(answer.rawHeaders[at] ?? '').toLowerCase(), answer.rawHeaders[at + 1] ?? '']);
        }
        resolve({ status: answer.statusCode ?? 0, headers: lines, body: Buffer.concat(chunks).toString('utf8') });
      });
    });
    call.on('error', reject);
    call.end(body);
  });
}

/** Values of every line of one header. */
export function linesOf(answer: RawAnswer, name: string): string[] {
  return answer.headers.filter(([found]) => found === name).map(([, value]) => value);
}
