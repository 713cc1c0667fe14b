// Peer: npm ws alone. What one connection sends, all get: no protocol above
// the frames, no tokens, no rooms, no database. PEER_MODE=echo: only the
// sender gets it.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { WebSocketServer } from 'ws';
import { run, settings } from '../common/cluster.mjs';

const echo = process.env.PEER_MODE === 'echo';

function startWorker() {
  const all = new WebSocketServer({
    noServer: true, perMessageDeflate: false, maxPayload: 1_000_000,
  });
  const toAll = (text) => {
    for (const one of all.clients) one.send(text);
  };
  process.on('message', ({ broadcast }) => {
    if (broadcast) toAll(broadcast);
  });
  all.on('connection', (socket) => {
    socket.on('message', (data) => {
      const text = data.toString();
      if (echo) {
        socket.send(text);
      } else {
        process.send({ broadcast: text });
        toAll(text);
      }
    });
    socket.on('error', () => {});
  });
  const serve = (server, port) => {
    server.on('request', (req, res) => res.end('{"status":"ALIVE"}'));
    server.on('upgrade', (req, socket, head) => {
      all.handleUpgrade(req, socket, head, (one) => {
        all.emit('connection', one);
      });
    });
    server.listen(port, '127.0.0.1', 4096);
  };
  serve(createServer(), settings.port);
  if (settings.tlsPort) {
    serve(createSecure({
      key: readFileSync(process.env.TLS_KEY),
      cert: readFileSync(process.env.TLS_CERT),
    }), settings.tlsPort);
  }
}

await run(startWorker);
