/**
 * When later work runs. Only here are the event loop's own queues and timers touched; a rule that waits is given these.
 */

/** Runs `callback` once everything that has already arrived in this turn of the event loop was handed out. */
export function nextTurn(callback: () => void): void {
  setImmediate(callback);
}

/** Runs `callback` after `delayMs` milliseconds, unless the returned function is called first. */
export function afterMs(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
}
