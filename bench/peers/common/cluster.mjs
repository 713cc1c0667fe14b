// Runs one worker process per core and stops them with the primary.
import cluster from 'node:cluster';

export async function run(startWorker) {
  if (!cluster.isPrimary) {
    await startWorker();
    return;
  }
  const workers = Number(process.env.PEER_WORKERS ?? 2);
  for (let i = 0; i < workers; i++) cluster.fork();
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
  secret: process.env.JWT_SECRET,
  poolPerWorker: Number(process.env.PEER_POOL ?? 2),
  /* a push in one transaction, not one per query */
  pushWhole: process.env.PEER_PUSH === 'whole',
  limit: 100_000_000,
  windowMs: 900_000,
};
