// Single requests and statements, by which answers and tables are judged.
import { config, token } from './config.mjs';
import { output } from './load.mjs';

export function expect(right, what, seen) {
  if (!right) {
    throw new Error(`${what}: ${JSON.stringify(seen).slice(0, 600)}`);
  }
}

export const fields = (object, names) =>
  Object.keys(object).sort().join() === names.join();

/* One request as wrk sends it; gives the checked envelope's data. */
export async function ask(server, user, path, options = {}) {
  const { method = 'GET', body, status = 200 } = options;
  const reply = await fetch(`${server.base}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${token(user)}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    body: body && JSON.stringify(body),
  });
  const text = await reply.text();
  expect(reply.status === status, `${server.name}: ${method} ${path}`,
    `${reply.status} ${text}`);
  expect(/^application\/json/.test(reply.headers.get('content-type')),
    'media type', reply.headers.get('content-type'));
  const json = JSON.parse(text);
  expect(fields(json, ['data', 'message', 'success', 'timestamp'])
    && json.success === true, 'envelope', json);
  return { data: json.data, headers: reply.headers, bytes: text.length };
}

export async function sql(text, database = config.database) {
  return (await output('psql',
    ['-XAqt', '-v', 'ON_ERROR_STOP=1', '-d', database, '-c', text])).trim();
}
