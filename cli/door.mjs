// Shows a lab's pages to its owner's browser and to nobody else's, inside the proxy's own process.
//
// A lab's server is its learner's program: it may answer anybody, with any page, on the origin that
// all labs and the platform's pages share. So who is not its owner must not get as far. The owner's
// browser holds a cookie that the Hub gave it (hub/door.py); calls with a token carry none of a
// visitor's rights and pass. Usage: node --import door.mjs, DLI_DOOR_KEY, DLI_DOOR_PROXY (lib/).
import crypto from 'node:crypto';
import { pathToFileURL } from 'node:url';

const key = process.env.DLI_DOOR_KEY;
const { default: Proxy } = await import(pathToFileURL(process.env.DLI_DOOR_PROXY).href);

const pass = (name) => crypto.createHmac('sha256', key).update(`door:${name}`).digest('hex');

function admitted(headers, name) {
  if (/^(token|bearer) /i.test(headers.authorization ?? '')) return true;
  const right = Buffer.from(pass(name));
  return (headers.cookie ?? '').split(';').some((one) => {
    const [word, value = ''] = one.trim().split('=');
    const given = Buffer.from(value);
    return word === 'dli-door' && given.length === right.length
      && crypto.timingSafeEqual(given, right);
  });
}

function refuse(kind, request, answer) {
  if (kind === 'ws') {
    answer.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  const page = ['GET', 'HEAD'].includes(request.method)
    && (request.headers.accept ?? '').includes('text/html');
  const headers = { 'Content-Type': 'text/plain', 'Cache-Control': 'no-store' };
  if (page) headers.Location = `/hub/door?next=${encodeURIComponent(request.url)}`;
  answer.writeHead(page ? 302 : 403, headers);
  answer.end(page ? '' : 'Open this lab from your home page first.\n');
}

const handle = Proxy.prototype.handleProxy;
Proxy.prototype.handleProxy = async function (kind, request, answer, ...more) {
  const route = await this.targetForReq(request).catch(() => undefined);
  const lab = /^\/user\/([^/]+)/.exec(route?.prefix ?? '');
  if (lab !== null && !admitted(request.headers, lab[1])) {
    refuse(kind, request, answer);
    return undefined;
  }
  return handle.call(this, kind, request, answer, ...more);
};
