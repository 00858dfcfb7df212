import type { PresentedRequest } from './guard.ts';

/** Reads a Web `Request`; its `Headers` have joined repeated lines by commas. The body is not touched. */
export function readWebRequest(request: Request): PresentedRequest {
  return {
    method: request.method,
    target: request.url,
    authorization: valuesOf(request.headers, 'authorization'),
    dpop: valuesOf(request.headers, 'dpop'),
  };
}

function valuesOf(headers: Headers, name: string): string[] {
  const value = headers.get(name);
  return value === null ? [] : [value];
}
