/**
 * Loaded into a resource server's process before its program: it reaches the authority's address by a port of its own, as where a name
 * leads elsewhere. So a story can stand between this one resource server and the nodes. `COUNTERSIGN_WAY`: from and to, two port numbers.
 */
import process from 'node:process';
import tls from 'node:tls';

const [from, to] = (process.env.COUNTERSIGN_WAY ?? '').split(' ');
const connect = tls.connect as (options: tls.ConnectionOptions) => tls.TLSSocket; // as fetch calls it
tls.connect = ((options: tls.ConnectionOptions) =>
  connect({ ...options, port: Number(String(options.port) === from ? to : options.port) })) as typeof tls.connect;
