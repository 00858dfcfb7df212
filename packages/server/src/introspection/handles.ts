import { encodeBase64url, type Handles } from '@countersign/protocol';
import type { Keys } from '../keys/keys.ts';

const HANDLE_BYTES = 16; // 128 bits

/**
 * Names a token, grant, client, user or key to one resource server: opaque, stable, and different for each, so that two of them
 * cannot compare. What a check answers and what a stream says later must be the same text.
 */
export class HandleNames {
  readonly #keys: Pick<Keys, 'mac'>;

  constructor(keys: Pick<Keys, 'mac'>) {
    this.#keys = keys;
  }

  of(resourceServerId: string, subject: keyof Handles, id: string): string {
    const { mac } = this.#keys.mac('handle', JSON.stringify([resourceServerId, subject, id]));
    return encodeBase64url(mac.subarray(0, HANDLE_BYTES));
  }

  /** For one answer to one resource server: what several tokens share is computed once. */
  for(resourceServerId: string): HandlesOfOne {
    const known = new Map<string, string>();
    return {
      of: (subject, id) => {
        const name = `${subject} ${id}`;
        const handle = known.get(name) ?? this.of(resourceServerId, subject, id);
        known.set(name, handle);
        return handle;
      },
    };
  }
}

export interface HandlesOfOne {
  of(subject: keyof Handles, id: string): string;
}
