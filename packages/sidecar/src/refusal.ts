/** The sidecar cannot run as it was called. The message says what to do, holds no secret, and goes to a person as it is. */
export class SidecarRefused extends Error {
  readonly code: RefusedCode;

  constructor(code: RefusedCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'SidecarRefused';
    this.code = code;
  }
}

/** `usage`: called wrongly; the others: cannot be done. Stable. */
export type RefusedCode = 'usage' | 'bad_settings' | 'bad_file' | 'address_unavailable' | 'authority_refused';
