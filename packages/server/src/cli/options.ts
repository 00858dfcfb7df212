/** Options that several commands share, and how their values are read. */
import { type IdPrefix, isId } from '@countersign/protocol';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { durationSeconds } from './duration.ts';

export interface JsonOption {
  json?: boolean;
}

export interface PageOptions extends JsonOption {
  limit: number;
  after?: string;
}

/** Rows that a list shows unless told otherwise: what a person can look through. */
const DEFAULT_LIMIT = 100;
/** Most rows of one page; further pages begin after the last id. */
const MAX_LIMIT = 1_000;

export function withJson(command: Command): Command {
  return command.option('--json', 'print one JSON document');
}

/** @param prefix of the ids that are listed: any other word would silently begin somewhere. */
export function withPage(command: Command, prefix: IdPrefix): Command {
  return withJson(withLimit(command)).option('--after <id>', 'begin after this id, as the last page ended', (text) => {
    if (isId(prefix, text)) return text;
    throw new InvalidArgumentError(`It must be an id of this list (${prefix}_…): the last one of the page before.`);
  });
}

export function withLimit(command: Command): Command {
  return command.option(
    '--limit <number>',
    `most rows to show, at most ${MAX_LIMIT}`,
    wholeNumber(1, MAX_LIMIT),
    DEFAULT_LIMIT,
  );
}

/** For `--name value` that may stand several times. */
export function collected(value: string, before: string[] = []): string[] {
  return [...before, value];
}

export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

export function duration(text: string): number {
  const seconds = durationSeconds(text);
  if (seconds !== undefined) return seconds;
  throw new InvalidArgumentError('It must be a number with a unit: 10s, 15m, 6h or 30d.');
}

export function choice(flags: string, description: string, choices: readonly string[]): Option {
  return new Option(flags, description).choices(choices);
}
