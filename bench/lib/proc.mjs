// CPU time and memory of process trees, from /proc.
import { readFileSync, readdirSync } from 'node:fs';
import { config } from './config.mjs';

/* The fields of /proc/PID/stat after the name: state is number 0. */
function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

export function tree(root) {
  const children = new Map();
  for (const name of readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) ? stat(name) : null;
    if (!fields) continue;
    const parent = Number(fields[1]);
    if (!children.has(parent)) children.set(parent, []);
    children.get(parent).push(Number(name));
  }
  const found = [root];
  for (let i = 0; i < found.length; i++) {
    found.push(...(children.get(found[i]) ?? []));
  }
  return found;
}

/* CPU seconds of a tree so far. Children that ended are in their parent's
   cutime and cstime, so nothing is lost when one exits. */
export function cpuSeconds(root) {
  let ticks = 0;
  for (const pid of tree(root)) {
    const fields = stat(pid);
    if (!fields) continue;
    for (let i = 11; i <= 14; i++) ticks += Number(fields[i]);
  }
  return ticks / config.ticks;
}

/* CPU seconds of the whole machine, those taken by its host among them. */
export function machineSeconds() {
  const fields = readFileSync('/proc/stat', 'latin1').split('\n')[0]
    .trim().split(/\s+/).map(Number);
  const [, user, nice, system, , , , , steal] = fields;
  return (user + nice + system + steal) / config.ticks;
}

/* Memory of one process in KB: its fair share, and what is its alone. */
export function memory(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const field = (name) =>
    Number(text.match(new RegExp(`^${name}:\\s+(\\d+)`, 'm'))[1]);
  return {
    pss: field('Pss'),
    own: field('Private_Dirty') + field('Private_Clean'),
  };
}
