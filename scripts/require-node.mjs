// Plain JavaScript on purpose: it must run on the Node that cannot read the rest.
// npm puts node_modules/.bin first on the path, where the pinned Node 24 of this platform stands (optionalDependencies);
// on a platform without such a package the machine's own Node is used, and has to be new enough.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 15)) {
  console.error(
    `Countersign needs Node 24.15 or later; this is ${process.versions.node} on ${process.platform}-${process.arch}, ` +
      'for which no pinned Node came with npm ci (was it run with --omit=optional?). Install Node 24 and try again.',
  );
  process.exit(1);
}
