/* A PostgreSQL in front of PostgreSQL: passes everything on, and breaks the connection at the n-th statement. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

export class PgProxy {
  constructor(dir, target) {
    Object.assign(this, { dir, target, left: Infinity, seen: 0, sockets: new Set() });
  }

  /** Listens on a socket of the same port; gives what to connect to. */
  async start() {
    const file = path.join(this.dir, `.s.PGSQL.${this.target.port}`);
    this.server = net.createServer((client) => this.join(client));
    await new Promise((resolve) => {
      this.server.listen(file, resolve);
    });
    fs.chmodSync(file, 0o777);
    return { ...this.target, host: this.dir };
  }

  /** The n-th statement from now on finds its connection broken: before it was sent, or, with `after`, once it was. */
  arm(n, { after = false, match = null } = {}) {
    Object.assign(this, { left: n, after, match, seen: 0, hit: false });
  }
  disarm() {
    this.left = Infinity;
  }

  join(client) {
    const upstream = net.connect(path.join(this.target.host, `.s.PGSQL.${this.target.port}`));
    const pair = { client, upstream };
    this.sockets.add(pair);
    const end = () => {
      this.sockets.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      socket.on('error', end);
      socket.on('close', end);
    }
    upstream.pipe(client);
    let rest = Buffer.alloc(0);
    let begun = false;
    let text = '';
    client.on('data', (data) => {
      rest = Buffer.concat([rest, data]);
      for (;;) {
        const head = begun ? 5 : 4;
        if (rest.length < head) return;
        const size = rest.readInt32BE(head - 4) + head - 4;
        if (rest.length < size) return;
        const message = rest.subarray(0, size);
        rest = rest.subarray(size);
        const type = begun ? String.fromCharCode(message[0]) : '';
        /* what asks for TLS or GSS has no type either, and is followed by another one */
        if (!begun && ![80877103, 80877104].includes(message.readInt32BE(4))) begun = true;
        if (type === 'B' || type === 'Q') text = message.toString('latin1');
        if (type === 'E' || type === 'Q') {
          if (!this.match || this.match.test(text)) {
            this.seen += 1;
            this.left -= 1;
            if (this.left === 0) {
              this.hit = true;
              if (this.after) {
                upstream.unpipe(client);
                upstream.write(Buffer.concat([message, rest]));
                setTimeout(end, 300);
              } else {
                end();
              }
              return;
            }
          }
        }
        upstream.write(message);
      }
    });
  }

  async stop() {
    for (const { client, upstream } of this.sockets) {
      client.destroy();
      upstream.destroy();
    }
    await new Promise((resolve) => {
      this.server.close(resolve);
    });
  }
}
