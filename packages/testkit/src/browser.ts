/** A page as a browser without a screen holds it. */
export interface Page {
  url: string;
  status: number;
  headers: Headers;
  text: string;
}

const MAX_REDIRECTS = 10;

/**
 * A browser without a screen: keeps cookies as `__Host-` cookies are kept, follows redirects within its site, fills in forms and
 * sends the headers by which a site recognises its own forms. Stops at a redirect that leads elsewhere.
 */
export class Browser {
  readonly origin: string;
  readonly cookies = new Map<string, string>();
  readonly userAgent: string;
  /** Every Set-Cookie header received, as it came, also those of other paths and of redirects. */
  readonly setCookies: string[] = [];
  /** Headers sent with every request, e.g. those a proxy would add. */
  readonly extraHeaders: Record<string, string> = {};

  constructor(origin: string, userAgent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0') {
    this.origin = origin;
    this.userAgent = userAgent;
  }

  async get(url: string): Promise<Page> {
    return this.#follow(new URL(url, this.origin), { method: 'GET' }, 'none');
  }

  /** One request, no redirect followed. `site` is what the browser would put into Sec-Fetch-Site. */
  async request(url: string, init: RequestInit = {}, site: 'none' | 'same-origin' | 'cross-site' = 'none') {
    return this.#request(new URL(url, this.origin), init, site);
  }

  /**
   * Submits a page's form: its hidden fields, and `fields` over them. `action` picks the form whose action ends so; else the first.
   * `button` is the name and value of the button pressed.
   */
  async submit(page: Page, fields: Record<string, string>, options: { action?: string } = {}): Promise<Page> {
    const { action, body } = this.form(page, options);
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    return this.#follow(action, { method: 'POST', body }, 'same-origin');
  }

  /** A page's form as it would be sent: where to, and its hidden fields. `action` picks it as in `submit`. */
  form(page: Page, options: { action?: string } = {}): { action: URL; body: URLSearchParams } {
    const forms = [...page.text.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/g)];
    const form = forms.find(([, head = '']) => attribute(head, 'action')?.endsWith(options.action ?? '')) ?? forms[0];
    if (!form) throw new Error(`No form on ${page.url} (status ${page.status}): ${page.text.slice(0, 500)}`);
    const [, head = '', inner = ''] = form;
    const body = new URLSearchParams();
    for (const [, input = ''] of inner.matchAll(/<input\b([^>]*)>/g)) {
      const name = attribute(input, 'name');
      if (name && attribute(input, 'type') === 'hidden') body.set(name, attribute(input, 'value') ?? '');
    }
    return { action: new URL(attribute(head, 'action') ?? page.url, page.url), body };
  }

  async #follow(start: URL, init: RequestInit, site: 'none' | 'same-origin'): Promise<Page> {
    let url = start;
    let response = await this.#request(url, init, site);
    for (let hops = 0; hops < MAX_REDIRECTS; hops++) {
      const location = response.headers.get('location');
      if (location === null) break;
      const next = new URL(location, url);
      if (next.origin !== this.origin) break;
      await response.body?.cancel();
      url = next;
      response = await this.#request(url, { method: 'GET' }, site);
    }
    return { url: url.href, status: response.status, headers: response.headers, text: await response.text() };
  }

  async #request(url: URL, init: RequestInit, site: string): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set('user-agent', this.userAgent);
    headers.set('sec-fetch-site', site);
    if (init.method === 'POST' && site !== 'none' && !headers.has('origin')) headers.set('origin', this.origin);
    for (const [name, value] of Object.entries(this.extraHeaders)) headers.set(name, value);
    const isOwn = url.origin === this.origin;
    if (isOwn && this.cookies.size > 0) {
      headers.set('cookie', [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '));
    }
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    this.setCookies.push(...response.headers.getSetCookie());
    if (isOwn) for (const cookie of response.headers.getSetCookie()) this.#keep(cookie);
    return response;
  }

  #keep(cookie: string): void {
    const [pair = '', ...attributes] = cookie.split(';').map((part) => part.trim());
    const at = pair.indexOf('=');
    const name = pair.slice(0, at);
    if (attributes.some((attribute) => /^max-age=0$/i.test(attribute))) this.cookies.delete(name);
    else this.cookies.set(name, pair.slice(at + 1));
  }
}

function attribute(tag: string, name: string): string | undefined {
  const value = new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1];
  return value
    ?.replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&');
}
