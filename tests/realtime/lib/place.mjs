/* Where the tests of the protocol run: our server, and the reference one, which shows that the tests are right. */
import { fileURLToPath } from 'node:url';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { after, afterEach, before, describe, it } from 'node:test';
import { Server } from '../../api/lib/server.mjs';
import { forget, keepTrack } from '../../api/lib/env.mjs';

const DEFAULTS = { ping: [25000, 20000], maxPayload: 1000000, upgradeTimeout: 10000 };

/** Directives for these settings. */
export const socketLines = ({ ping, maxPayload, upgradeTimeout }) => [
  'ChronicleSocketIoEcho On',
  `ChronicleSocketIoPing ${ping.join(' ')}`,
  `ChronicleSocketIoMaxPayload ${maxPayload}`,
  `ChronicleSocketIoUpgradeTimeout ${upgradeTimeout}`,
];

class Ours {
  constructor(options) {
    this.settings = { ...options, connectTimeout: 45000 }; /* it can't be set */
    this.server = new Server({ directives: socketLines(options), ...options.server });
  }
  get port() {
    return this.server.port;
  }
  start() {
    return this.server.start();
  }
  stop() {
    return this.server.stop();
  }
  expectLog(...patterns) {
    this.server.expectLog(...patterns);
  }
  judge() {
    this.server.judgeLog();
  }
}

class Reference {
  constructor(options) {
    this.isReference = true;
    this.settings = { ...options, connectTimeout: 10000 };
  }
  async start() {
    const program = fileURLToPath(new URL('../reference.mjs', import.meta.url));
    this.child = spawn(process.execPath, [program, JSON.stringify({ ...this.settings, server: undefined })], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { pid } = this.child;
    keepTrack(pid);
    this.child.once('exit', () => forget(pid));
    const [line] = await once(this.child.stdout, 'data');
    this.port = Number(line);
  }
  async stop() {
    const gone = once(this.child, 'exit');
    this.child.stdin.end();
    await gone;
  }
  expectLog() {}
  judge() {}
}

const KINDS = { ours: Ours, reference: Reference };

/** Which of them: both, or what CH_TEST_REALTIME names. */
export const kinds = (process.env.CH_TEST_REALTIME || 'ours reference').split(' ');

/** A describe() at each place with these settings: define(place) registers the tests. */
export function everywhere(title, options, define) {
  for (const kind of kinds) {
    describe(`${title} (${kind})`, () => {
      const place = new KINDS[kind]({ ...DEFAULTS, ...options });
      /* What the reference does in its own way is asked of ours alone. */
      place.unlessReference = (what, test) => place.isReference || it(what, test);
      place.host = () => `127.0.0.1:${place.port}`;
      place.url = (query = '') => `/socket.io/?EIO=4&transport=${query}`;
      before(() => place.start());
      after(() => place.stop());
      afterEach(() => place.judge());
      define(place);
    });
  }
}

/** A server of ours, which runs, as a place; tls: by its other port. */
export function placeOf(server, { tls = false } = {}) {
  const port = tls ? server.tlsPort : server.port;
  const host = `127.0.0.1:${port}`;
  const origin = `${tls ? 'https' : 'http'}://${host}`;
  return { tls, port, origin, host: () => host, url: (query = '') => `/socket.io/?EIO=4&transport=${query}` };
}
