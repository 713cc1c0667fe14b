// Runs one worker process per core and stops them with the primary.
import cluster from 'node:cluster';

/* Collects garbage when asked to, where node allows it. */
const collectOnSignal = () => process.on('SIGUSR2', () => globalThis.gc?.());

export async function run(startWorker) {
  collectOnSignal();
  if (!cluster.isPrimary) {
    await startWorker();
    return;
  }
  const { workers } = settings;
  for (let i = 0; i < workers; i++) cluster.fork();
  /* what one worker tells all the others */
  cluster.on('message', (from, message) => {
    if (!message.broadcast) return;
    for (const worker of Object.values(cluster.workers)) {
      if (worker !== from) worker.send(message);
    }
  });
  let stopping = false;
  cluster.on('exit', (worker, code) => {
    if (stopping) return;
    console.error(`worker ${worker.process.pid} ended with ${code}`);
    process.exit(1);
  });
  const stop = () => {
    stopping = true;
    for (const worker of Object.values(cluster.workers)) worker.kill('SIGTERM');
    setTimeout(() => process.exit(0), 200);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

/* Settings that the bench hands to either peer. */
export const settings = {
  port: Number(process.env.PORT ?? 3000),
  /* 0: no TLS; else with TLS_KEY and TLS_CERT */
  tlsPort: Number(process.env.TLS_PORT ?? 0),
  workers: Number(process.env.PEER_WORKERS ?? 2),
  secret: process.env.JWT_SECRET,
  poolPerWorker: Number(process.env.PEER_POOL ?? 2),
  /* a push in one transaction, not one per query */
  pushWhole: process.env.PEER_PUSH === 'whole',
  limit: 100_000_000,
  windowMs: 900_000,
};
