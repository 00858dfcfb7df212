import { ROOTS } from './levels.ts';

export const NAMESPACE = '@countersign/';

/** Sources of packages, tests beside them included. */
export const SOURCE = /^packages\/[^/]+\/src\/.*\.ts$/;

/** Where in a package a source file stands. */
export interface Place {
  package: string;
  /** The folder directly under src/, or the file itself where it stands there. */
  name: string;
  /** The path inside that folder; empty for a file directly under src/. */
  rest: string;
  /** It is a file directly under src/. */
  isRoot: boolean;
}

export function placeOf(path: string): Place | undefined {
  const [area, packageName, src, name, ...rest] = path.split('/');
  if (area !== 'packages' || !packageName || src !== 'src' || !name) return undefined;
  return { package: packageName, name, rest: rest.join('/'), isRoot: rest.length === 0 };
}

/** Tests, the suites that several tests share, and what only tests use. None of it is published; it stands on every level. */
export function isTest(path: string): boolean {
  return /\.test\.ts$|\/conformance\.ts$|\/testing\//.test(path);
}

export function isRoot(place: Place): boolean {
  return (ROOTS as readonly string[]).includes(place.name);
}
