/**
 * Reads TypeScript just well enough for the rules: which characters are code, which stand in strings, which in comments, and
 * what a file imports. A small scanner instead of the compiler's parser, whose JavaScript interface is not stable; it runs over
 * the whole tree in milliseconds. It needs no more than the code style here gives: a `/` after `)` is a division.
 */

/** Three views of one file, each as long as the file, with whatever is not in view replaced by spaces (line breaks stay). */
export interface Views {
  /** Code, with the quotes of strings but not what they hold. */
  code: string;
  /** What strings and templates hold. */
  strings: string;
  comments: string;
}

export interface Import {
  specifier: string;
  /** Where the specifier starts in the file. */
  offset: number;
}

type Kind = 'code' | 'string' | 'comment';

/** How far back a `/` looks for what it follows: longer than any word or run of spaces before it. */
const LOOK_BACK = 200;

const REGEX_MAY_FOLLOW_WORD = /(?:^|[^\w$.])(?:return|typeof|case|in|of|await|yield|void|throw|else|do)$/;
const IMPORT = /\b(?:from\s*|import\s*\(?\s*)(?=['"`])/g;

export function viewsOf(source: string): Views {
  const kinds = kindsOf(source);
  const view = (kind: Kind) =>
    source.replace(/[^\n]/g, (character, offset: number) => (kinds[offset] === kind ? character : ' '));
  return { code: view('code'), strings: view('string'), comments: view('comment') };
}

/** Imports, re-exports, dynamic imports and import types: whatever ties this file to another. */
export function importsOf(source: string): Import[] {
  const { code } = viewsOf(source);
  return [...code.matchAll(IMPORT)].map((match) => {
    const offset = match.index + match[0].length + 1;
    const end = code.indexOf(source.charAt(offset - 1), offset);
    return { specifier: source.slice(offset, end), offset };
  });
}

export function lineOf(source: string, offset: number): number {
  return source.slice(0, offset).split('\n').length;
}

function kindsOf(source: string): Kind[] {
  const kinds = new Array<Kind>(source.length).fill('code');
  /** For each open `${`, how many braces inside it are open. */
  const interpolations: number[] = [];
  let at = 0;

  const mark = (end: number, kind: Kind) => {
    kinds.fill(kind, at, end);
    at = end;
  };
  const template = () => {
    const end = endOfTemplateText(source, at);
    mark(end, 'string');
    if (source.startsWith('${', at)) {
      interpolations.push(0);
      at += 2;
    } else at += 1;
  };

  while (at < source.length) {
    const character = source.charAt(at);
    const depth = interpolations.at(-1);
    if (source.startsWith('//', at)) mark(endOf(source, '\n', at), 'comment');
    else if (source.startsWith('/*', at)) mark(endOf(source, '*/', at + 2, 2), 'comment');
    else if (character === '`') {
      at += 1;
      template();
    } else if (character === "'" || character === '"') {
      at += 1;
      mark(endOfDelimited(source, at, character), 'string');
      at += 1;
    } else if (character === '/' && regexMayStart(source.slice(Math.max(0, at - LOOK_BACK), at))) {
      at += 1;
      mark(endOfDelimited(source, at, '/'), 'string');
      at += 1;
    } else if (depth !== undefined && character === '}' && depth === 0) {
      interpolations.pop();
      at += 1;
      template();
    } else {
      if (depth !== undefined && character === '{') interpolations[interpolations.length - 1] = depth + 1;
      if (depth !== undefined && character === '}') interpolations[interpolations.length - 1] = depth - 1;
      at += 1;
    }
  }
  return kinds;
}

function endOf(source: string, mark: string, from: number, markLength = 0): number {
  const found = source.indexOf(mark, from);
  return found < 0 ? source.length : found + markLength;
}

/** Where a string or regular expression ends; a bracketed class of a regular expression may hold its delimiter. */
function endOfDelimited(source: string, from: number, delimiter: string): number {
  let inClass = false;
  for (let at = from; at < source.length; at++) {
    const character = source.charAt(at);
    if (character === '\\') at++;
    else if (delimiter === '/' && character === '[') inClass = true;
    else if (delimiter === '/' && character === ']') inClass = false;
    else if (character === '\n' || (character === delimiter && !inClass)) return at;
  }
  return source.length;
}

function endOfTemplateText(source: string, from: number): number {
  for (let at = from; at < source.length; at++) {
    if (source.charAt(at) === '\\') at++;
    else if (source.charAt(at) === '`' || source.startsWith('${', at)) return at;
  }
  return source.length;
}

function regexMayStart(before: string): boolean {
  const trimmed = before.trimEnd();
  return /(?:^|[=(,:;!&|?{}[+\-*%<>~^])$/.test(trimmed) || REGEX_MAY_FOLLOW_WORD.test(trimmed);
}
