import type { PresentedRequest, RefusedRequest } from './guard.ts';

/** What is read of Node's request, of HTTP/1 and HTTP/2 alike; Express's is one, and Fastify's holds one. */
export interface NodeRequest {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  /** Where a router cut the path down to what it was mounted under, it kept the whole one here. */
  readonly originalUrl?: string | undefined;
  readonly rawHeaders: readonly string[];
}

/** What is needed of Node's response. */
export interface NodeResponse {
  readonly headersSent: boolean;
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(text: string): unknown;
}

/** Reads the lines as they came: of repeated `Authorization` lines, `request.headers` shows the first and drops the rest. */
export function readNodeRequest(request: NodeRequest): PresentedRequest {
  return {
    method: request.method ?? '',
    target: request.originalUrl ?? request.url ?? '',
    authorization: linesOf(request.rawHeaders, 'authorization'),
    dpop: linesOf(request.rawHeaders, 'dpop'),
  };
}

/** Answers, unless somebody else, a timeout for instance, already has. */
export function answerNode(response: NodeResponse, refused: RefusedRequest): void {
  if (response.headersSent) return;
  response.statusCode = refused.status;
  for (const [name, value] of Object.entries(refused.headers)) response.setHeader(name, value);
  response.end(refused.body);
}

/**
 * What is behind a token is for its holder. This replaces what the app says of all its answers; the handler, which comes later,
 * may say otherwise of its own.
 */
export function startWithNoStore(response: NodeResponse): void {
  if (!response.headersSent) response.setHeader('cache-control', 'no-store');
}

/** Names and values stand in turn in `rawHeaders`. */
function linesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name);
}
