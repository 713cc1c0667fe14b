// What the module adds to an httpd child, and how soon it serves.
import { memory, tree } from './proc.mjs';
import { median } from './table.mjs';
import { start, stop } from './servers.mjs';

async function children(name) {
  const server = await start(name);
  const sizes = tree(server.pid).slice(1).map(memory);
  await stop(server);
  return {
    pss: median(sizes.map((size) => size.pss)),
    own: median(sizes.map((size) => size.own)),
    start: server.startSeconds,
  };
}

export async function footprint() {
  const without = await children('plain');
  const runs = [];
  for (let i = 0; i < 3; i++) runs.push(await children('ours'));
  const ours = Object.fromEntries(['pss', 'own', 'start']
    .map((key) => [key, median(runs.map((run) => run[key]))]));
  const line = (title, { pss, own, start: seconds }) =>
    `  ${title.padEnd(20)}${(own / 1024).toFixed(1)} MB private, `
    + `${(pss / 1024).toFixed(1)} MB Pss, ready in ${seconds.toFixed(2)} s`;
  const mark = ours.start < 2 ? 'ok' : 'short';
  return {
    numbers: { without, ours },
    text: `one idle httpd child\n${line('without the module', without)}\n`
      + `${line('mod_chronicle', ours)} (target < 2 s: ${mark})`,
  };
}
