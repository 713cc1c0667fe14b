/* Two users who talk in a room, in a thread of their own, and how long each message takes from the one to the other:
 * what happens to everybody else while somebody is up to no good. */
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { io } from 'socket.io-client';
import { patience, sleep } from '../../api/lib/env.mjs';

const PAUSE = 20; /* ms between two messages */

function summary(times) {
  const at = (part) => times[Math.floor((times.length - 1) * part)];
  return { count: times.length, p50: at(0.5), p95: at(0.95), most: at(1) };
}

export class Bystanders {
  /** Begins to talk: users are two members of the room. */
  static async start(server, room, users) {
    const self = new Bystanders();
    const tokens = users.map(({ token }) => token);
    self.worker = new Worker(new URL(import.meta.url), { workerData: { origin: server.origin, room: room.id, tokens } });
    self.failed = once(self.worker, 'error').then(([error]) => Promise.reject(error));
    self.failed.catch(() => {});
    await self.told('ready');
    return self;
  }

  async told(what) {
    const [name, data] = (await Promise.race([once(this.worker, 'message'), this.failed]))[0];
    assert.equal(name, what, JSON.stringify(data));
    return data;
  }

  /** The times (ms) of the messages since the last call, sorted. */
  async times() {
    this.worker.postMessage('times');
    return this.told('times');
  }

  /** What happens meanwhile keeps nobody waiting; tried again, since the machine may be what does. */
  async during(t, disturb) {
    let limits = [200 * patience, 1000 * patience];
    for (let round = 1; ; round += 1) {
      await this.times();
      await disturb();
      await sleep(4 * PAUSE); /* so that there are some */
      const { count, p50, p95, most } = summary(await this.times());
      const told = `${count} messages: p50 ${p50}, p95 ${p95}, at most ${most} ms`;
      t.diagnostic(told);
      if (count > 0 && p95 < limits[0] && most < limits[1]) return;
      assert.ok(round < 4, told);
      await sleep(1000);
      const calm = summary(await this.times()); /* how long it takes when nothing happens */
      limits = [Math.max(limits[0], 5 * calm.p95), Math.max(limits[1], 3 * calm.most)];
    }
  }

  stop() {
    return this.worker.terminate();
  }
}

/** Gives a function that tells how long (ms) this thread was held up so far, as it is by a machine that stalls. */
function stalls() {
  let sum = 0;
  let last = performance.now();
  const late = () => Math.max(0, performance.now() - last - 100);
  setInterval(() => {
    sum += late();
    last = performance.now();
  }, 20);
  return () => sum + late();
}

async function talk({ origin, room, tokens }) {
  const held = stalls();
  const [speaker, hearer] = tokens.map((token) =>
    io(origin, { transports: ['websocket'], forceNew: true, reconnection: false, auth: { token } }),
  );
  await Promise.all(
    [speaker, hearer].map((socket) => {
      socket.on('disconnect', (reason) => {
        throw new Error(`a bystander was disconnected: ${reason}`);
      });
      return once(socket, 'ready'); /* either may be the first */
    }),
  );
  const { success } = await hearer.emitWithAck('room:join', { roomId: room });
  assert.ok(success);
  let times = [];
  parentPort.on('message', () => {
    parentPort.postMessage(['times', times.sort((one, other) => one - other)]);
    times = [];
  });
  parentPort.postMessage(['ready']);
  for (let n = 0; ; n += 1) {
    const start = performance.now() - held();
    const content = `message ${n}`;
    const heard = new Promise((resolve) => {
      hearer.on('message:new', function hear({ message }) {
        if (message.content !== content) return;
        hearer.off('message:new', hear);
        resolve();
      });
    });
    speaker.emit('message:send', { roomId: room, content });
    const late = setTimeout(() => {
      throw new Error(`${content} was not heard within 40 s`);
    }, 40000);
    await heard;
    clearTimeout(late);
    times.push(Math.round(performance.now() - held() - start));
    await new Promise((resolve) => {
      setTimeout(resolve, PAUSE);
    });
  }
}

if (!isMainThread && workerData?.tokens) talk(workerData);
