/**
 * Structured lines for operators. Fields carry ids and codes; never a token, code, cookie, secret, address book entry or `eb`.
 * What is an alarm goes through the events; a log line is only how an operator reads of it.
 */
export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export type LogFields = Record<string, string | number | boolean | null | undefined>;
