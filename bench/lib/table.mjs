// The result as text: medians, ratios, targets.
import { LIMITS, TARGETS, WORKLOADS } from './workloads.mjs';

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]
    : (sorted[half - 1] + sorted[half]) / 2;
}

/* A measurement is doubtful when others had more of the machine than this. */
export const BUSY = 0.1;

/* One record out of the rounds: the median of every number in it. */
export function summary(rounds) {
  const result = {};
  for (const key of ['rate', 'cpu', 'dbCpu', 'p50', 'p95', 'p99']) {
    const values = rounds.map((round) => round[key])
      .filter((value) => value !== undefined);
    if (values.length > 0) result[key] = median(values);
  }
  const rates = rounds.map((round) => round.rate);
  result.doubtful = rounds.some((round) => round.others > BUSY);
  result.spread = (Math.max(...rates) - Math.min(...rates)) / result.rate;
  return result;
}

const show = (value, digits = 0) =>
  (value === undefined ? '-' : value.toFixed(digits));

const cell = (value) => (typeof value === 'string' ? value : show(value));

/* Columns padded to their widest cell; the first is left-aligned. */
export function grid(rows) {
  const widths = rows[0].map((_, i) =>
    Math.max(...rows.map((row) => cell(row[i] ?? '').length)));
  return rows.map((row) => row.map((value, i) => (i === 0
    ? cell(value).padEnd(widths[i]) : cell(value).padStart(widths[i])))
    .join('  ').trimEnd()).join('\n');
}

/* Microseconds of processor time per request, PostgreSQL's with it. */
const effort = (one) => one.cpu + one.dbCpu;

export const NAMES = {
  ours: 'mod_chronicle', kept: 'kept', empty: 'empty handler',
  one: 'one host', two: 'two hosts', express: 'Express 4 + pg',
  expressWhole: 'the same, one transaction',
  fastify: 'Fastify 4 + postgres.js', pgbench: 'pgbench, same SQL',
};

/* A ratio to another server, or what the subject takes at most. */
function targetOf(name, server, one, ratio) {
  const least = TARGETS[name]?.[server];
  const most = LIMITS[name];
  if (server === (WORKLOADS[name].subject ?? 'ours') && most !== undefined) {
    return { target: `p95 < ${most}`, met: one.p95 < most };
  }
  if (least === undefined) return { target: '' };
  return {
    target: `>= ${least}`,
    met: ratio === undefined ? undefined : ratio >= least,
  };
}

/* results: {workload: {server: [round, …]}} */
export function report(results) {
  const rows = [['', 'req/s', '+-%', 'CPU us', '= server', '+ PG', 'p50 ms',
    'p95 ms', 'p99 ms', 'CPU x/ours', 'ours/x', 'target', '']];
  const marks = { ok: 0, short: 0 };
  for (const [name, servers] of Object.entries(results)) {
    rows.push([`${WORKLOADS[name].title}`]);
    const subject = WORKLOADS[name].subject ?? 'ours';
    const ours = servers[subject] && summary(servers[subject]);
    for (const [server, rounds] of Object.entries(servers)) {
      const one = summary(rounds);
      const ratio = ours && server !== subject ? ours.rate / one.rate
        : undefined;
      const { target, met } = targetOf(name, server, one, ratio);
      const mark = met === undefined ? '' : met ? 'ok' : 'short';
      if (mark) marks[mark]++;
      const doubt = mark && (ours.doubtful || one.doubtful) ? '?' : '';
      rows.push([`  ${WORKLOADS[name].label ?? NAMES[server]}`, show(one.rate),
        show(one.spread * 50), show(one.cpu && effort(one)),
        show(one.cpu), show(one.dbCpu),
        show(one.p50, 2), show(one.p95, 2), show(one.p99, 2),
        show(ratio && one.cpu && effort(one) / effort(ours), 2),
        show(ratio, 2),
        target, mark + doubt]);
    }
  }
  return { text: grid(rows), marks };
}
