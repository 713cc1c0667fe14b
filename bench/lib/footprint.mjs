// What the module adds to an httpd child, and how soon it serves.
import { setTimeout as sleep } from 'node:timers/promises';
import { measure } from './load.mjs';
import { memory, tree } from './proc.mjs';
import { start, stop } from './servers.mjs';
import { median } from './table.mjs';
import { WORKLOADS } from './workloads.mjs';

function sizes(server) {
  const all = tree(server.pid).slice(1).map(memory);
  return {
    pss: median(all.map((one) => one.pss)),
    own: median(all.map((one) => one.own)),
  };
}

/* A child once it serves, and again after thousands of lists. */
async function children(name, load) {
  const server = await start(name);
  await sleep(500);
  const idle = sizes(server);
  if (load) await measure(server, WORKLOADS.list, 2);
  const after = sizes(server);
  await stop(server);
  return { ...idle, after: after.own, start: server.startSeconds };
}

export async function footprint() {
  const without = await children('plain', false);
  const runs = [];
  for (let i = 0; i < 3; i++) runs.push(await children('ours', true));
  const ours = Object.fromEntries(['pss', 'own', 'after', 'start']
    .map((key) => [key, median(runs.map((run) => run[key]))]));
  const mb = (kilobytes) => `${(kilobytes / 1024).toFixed(1)} MB`;
  const line = (title, { pss, own }) =>
    `  ${title.padEnd(20)}${mb(own)} private, ${mb(pss)} Pss`;
  const mark = ours.start < 2 ? 'ok' : 'short';
  return {
    numbers: { without, ours },
    text: `one httpd child\n${line('without the module', without)}\n`
      + `${line('mod_chronicle', ours)}, ${mb(ours.after)} private after load\n`
      + `  from start to ready ${ours.start.toFixed(2)} s (< 2 s: ${mark})`,
  };
}
