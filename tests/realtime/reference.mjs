/* The reference server (npm socket.io) with the namespace /echo of API.md 12.2: what the tests say of the protocol
 * must hold for it too. Run as a program it takes its options as JSON and writes its port. */
import http from 'node:http';
import { pathToFileURL } from 'node:url';
import { Server } from 'socket.io';

/** options: {port, ping: [interval, timeout], maxPayload, upgradeTimeout, connectTimeout} in ms and bytes. */
export function serve(options) {
  const web = http.createServer((req, res) => {
    res.statusCode = 404;
    res.end();
  });
  const io = new Server(web, {
    pingInterval: options.ping[0],
    pingTimeout: options.ping[1],
    maxHttpBufferSize: options.maxPayload,
    upgradeTimeout: options.upgradeTimeout,
    connectTimeout: options.connectTimeout,
    serveClient: false,
    allowRequest: (req, done) => {
      const { origin, host } = req.headers;
      done(origin && origin !== `http://${host}` ? 'Forbidden' : null, !origin || origin === `http://${host}`);
    },
  });
  io.of('/echo').on('connection', (socket) => {
    socket.emit('auth', socket.handshake.auth);
    socket.onAny((event, ...args) => {
      const ack = typeof args.at(-1) === 'function' && args.pop();
      if (ack) ack(...args);
      else socket.emit(event === 'message' ? 'message-back' : event, ...args); /* as in the protocol's test suite */
    });
  });
  return new Promise((resolve) => {
    web.listen(options.port ?? 0, '127.0.0.1', () => resolve(web));
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const web = await serve(JSON.parse(process.argv[2]));
  process.stdout.write(`${web.address().port}\n`);
  process.stdin.on('end', () => process.exit(0)).resume(); /* it ends with whoever started it */
}
