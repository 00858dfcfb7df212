import { html } from 'hono/html';
import type { PageError } from './refusals.ts';

/** Escaped HTML, as `hono/html` makes it: values put into the template are escaped unless they are Html themselves. */
export type Html = ReturnType<typeof html>;

/** Where the one stylesheet is served, below the issuer. */
export const STYLESHEET_PATH = '/assets/countersign.css';

/**
 * The frame of every page: one column, one stylesheet, no script, nothing from elsewhere.
 *
 * @example c.html(page({ title: 'Log in', body: html`<p>…</p>`, organizationName, basePath: c.var.site.basePath }))
 */
export function page(options: {
  title: string;
  body: Html;
  organizationName: string;
  /** `c.var.site.basePath`, so that the stylesheet is found behind an issuer with a path. */
  basePath: string;
}): Html {
  const { title, body, organizationName, basePath } = options;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>${title} · ${organizationName}</title>
<link rel="stylesheet" href="${basePath}${STYLESHEET_PATH}">
<link rel="icon" href="data:,">
</head>
<body>
<main>
<p class="organization">${organizationName}</p>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`;
}

/** A refusal as a page. The request id lets whoever runs this find the log line. */
export function errorPage(error: ErrorFacts, frame: { organizationName: string; basePath: string }): Html {
  const body = html`<p>${error.sentence}</p>
<p class="reference">${error.code} · ${error.requestId}</p>`;
  return page({ title: error.title, body, ...frame });
}

export type ErrorFacts = Pick<PageError, 'title' | 'sentence' | 'code'> & { requestId: string };
