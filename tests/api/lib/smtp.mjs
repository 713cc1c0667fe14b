/* Mail servers: a real one (aiosmtpd), one that misbehaves as told, and a private certificate authority. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { forget, keepTrack, makeDir, until } from './env.mjs';
import { freePort } from './server.mjs';

const script = fileURLToPath(new URL('smtpd.py', import.meta.url));
/* Debian's, for which the package is; another may stand before it in PATH */
const python = ['/usr/bin/python3', 'python3'].find((name) => !name.startsWith('/') || fs.existsSync(name));

/** aiosmtpd; `mails` are what it was given, in order. Options: see smtpd.py. */
export class MailServer {
  constructor(options = {}) {
    this.options = options;
    this.mails = [];
    this.logins = [];
    this.stderr = '';
  }

  async start() {
    this.port ??= await freePort();
    const options = JSON.stringify({ ...this.options, port: this.port });
    this.child = spawn(python, [script, options], { stdio: ['pipe', 'pipe', 'pipe'] });
    keepTrack(this.child.pid);
    this.ended = new Promise((resolve) => {
      this.child.once('exit', resolve);
    });
    this.ended.then(() => forget(this.child.pid));
    this.child.stderr.on('data', (data) => {
      this.stderr += data;
    });
    let rest = '';
    this.child.stdout.on('data', (data) => {
      const lines = (rest + data).split('\n');
      rest = lines.pop();
      lines.forEach((line) => this.hear(JSON.parse(line)));
    });
    await until(() => this.ready || this.child.exitCode !== null, 10000, 'aiosmtpd is there');
    if (!this.ready) throw new Error(`aiosmtpd did not start:\n${this.stderr}`);
    return this;
  }

  hear(message) {
    if (message.ready) this.ready = true;
    if (message.login) this.logins.push(message);
    if (message.mail) this.mails.push({ ...message, header: (name) => header(message, name) });
  }

  to(address) {
    return this.mails.filter((mail) => mail.recipients.includes(address));
  }

  /** The only mail to an address. */
  async arrived(address, ms = 10000) {
    await until(() => this.to(address).length, ms, `a mail to ${address} arrives`);
    return this.to(address)[0];
  }

  async stop() {
    this.ready = false;
    this.child.stdin.end();
    await this.ended;
  }
}

const header = (message, name) => {
  const found = message.headers.filter(([key]) => key.toLowerCase() === name.toLowerCase());
  return found.length ? found.map(([, value]) => value).join('\n') : undefined;
};

/**
 * Speaks just enough SMTP to misbehave. `rule(step)` is asked before each of its answers, with {name, n, connection,
 * line}: undefined = as it should be; a text = this reply; 'hang' = none; 'cut' = the connection ends; 'reset' = it
 * ends after the message was taken. Steps: greeting EHLO MAIL RCPT DATA message NOOP QUIT.
 */
export class BadMailServer {
  constructor(rule = () => undefined) {
    this.rule = rule;
    this.features = ['SIZE', '8BITMIME'];
    this.mails = [];
    this.steps = [];
    this.connections = 0;
    this.sockets = new Set();
  }

  async start() {
    this.port ??= await freePort();
    this.server = net.createServer((socket) => this.serve(socket));
    await new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(this.port, '127.0.0.1', resolve);
    });
    return this;
  }

  async stop() {
    const closed = new Promise((resolve) => {
      this.server.close(resolve);
    });
    this.sockets.forEach((socket) => socket.destroy());
    await closed;
  }

  serve(socket) {
    this.connections += 1;
    const talk = { socket, connection: this.connections, buffer: '', data: false, hung: false };
    this.sockets.add(socket);
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (data) => {
      talk.buffer += data;
      this.read(talk);
    });
    this.answer(talk, 'greeting', '', '220 bad.example ESMTP');
  }

  read(talk) {
    while (!talk.hung && !talk.socket.destroyed) {
      const end = talk.data ? '\r\n.\r\n' : '\r\n';
      const at = talk.buffer.indexOf(end);
      if (at < 0) return;
      const line = talk.buffer.slice(0, at);
      talk.buffer = talk.buffer.slice(at + end.length);
      if (talk.data) {
        talk.data = false;
        this.take(talk, line);
      } else {
        this.command(talk, line);
      }
    }
  }

  command(talk, line) {
    const name = line.split(/[ :]/)[0].toUpperCase();
    const replies = {
      EHLO: ['bad.example', ...this.features].map((word, n, all) => `250${n < all.length - 1 ? '-' : ' '}${word}`).join('\r\n'),
      DATA: '354 go on',
      QUIT: '221 bye',
    };
    this.answer(talk, name, line, replies[name] ?? '250 ok');
  }

  take(talk, raw) {
    const mail = { raw: `${raw}\r\n`, id: /^Message-ID: (.*)$/im.exec(raw)?.[1].trim(), connection: talk.connection };
    const done = this.answer(talk, 'message', raw, '250 taken');
    if (done.startsWith('250') || done === 'reset') this.mails.push(mail);
  }

  answer(talk, name, line, right) {
    const step = { name, n: this.steps.length + 1, connection: talk.connection, line };
    this.steps.push(step);
    const reply = this.rule(step) ?? right;
    if (reply === 'cut' || reply === 'reset') talk.socket.destroy();
    else if (reply === 'hang') talk.hung = true;
    else talk.socket.write(`${reply}\r\n`);
    if (name === 'DATA' && reply.startsWith('354')) talk.data = true;
    if (name === 'QUIT' && reply.startsWith('221')) talk.socket.end();
    return reply;
  }
}

/** A private CA and a certificate of it for localhost and 127.0.0.1: {ca, cert, key}. */
export function makeCertificates() {
  const dir = makeDir('tls-');
  const at = (name) => path.join(dir, name);
  const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const subject = (name) => ['-subj', `/CN=${name}`, '-days', '2'];
  const newKey = (name) => ['req', '-newkey', 'rsa:2048', '-nodes', '-keyout', at(name)];
  openssl(...newKey('ca.key'), '-x509', ...subject('Test CA'), '-out', at('ca.pem'));
  openssl(...newKey('key.pem'), '-subj', '/CN=localhost', '-out', at('request.pem'));
  fs.writeFileSync(at('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1\n');
  openssl(
    ...['x509', '-req', '-in', at('request.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'],
    ...['-days', '2', '-extfile', at('names'), '-out', at('cert.pem')],
  );
  return { dir, ca: at('ca.pem'), cert: at('cert.pem'), key: at('key.pem') };
}

/** Stops all of these when the test ends, one after another, whatever fails. */
export function stopAfter(t, ...all) {
  t.after(async () => {
    const problems = [];
    for (const one of all) await one.stop().catch((error) => problems.push(error));
    if (problems.length) throw problems[0];
  });
}

/* ---- the outbox ---- */

let count = 0;
/** Puts a mail into the outbox as the API would: its id. */
export async function queueMail(server, fields = {}) {
  count += 1;
  const row = {
    to_address: `mail.${process.pid}.${count}@example.com`,
    template: 'notification',
    subject: 'A subject',
    body_text: 'A text\n',
    ...fields,
  };
  const names = Object.keys(row);
  const [made] = await server.sql(
    `INSERT INTO email_outbox (${names.join(', ')}) VALUES (${names.map((_, n) => `$${n + 1}`).join(', ')}) RETURNING id`,
    Object.values(row),
  );
  return { id: made.id, to: row.to_address };
}

export const outboxRow = async (server, id) =>
  (await server.sql('SELECT * FROM email_outbox WHERE id = $1', [id]))[0];

export const mailJob = async (server, id) =>
  (await server.sql("SELECT * FROM jobs WHERE type = 'mail' AND payload->>'id' = $1", [id]))[0];

/** Waits until the mail's job has been tried n times, is not running, and gives it. */
export async function tried(server, id, n = 1, ms = 15000) {
  let job;
  await until(
    async () => {
      job = await mailJob(server, id);
      return job.attempts >= n && job.status !== 'running';
    },
    ms,
    `try ${n} of mail ${id} has ended`,
  );
  return job;
}

/** Does what the time of waiting for the next try would do. */
export const hurry = (server, id) =>
  server.sql("UPDATE jobs SET run_at = now() WHERE type = 'mail' AND status = 'queued' AND payload->>'id' = $1", [id]);

/** Waits until the mail's status is this one; the row. */
export async function becomes(server, id, status, ms = 15000) {
  let row;
  await until(
    async () => {
      row = await outboxRow(server, id);
      return row.status === status;
    },
    ms,
    `mail ${id} is ${status}`,
  ).catch((error) => {
    throw new Error(`${error.message}; it is ${row.status}: ${row.last_error}`);
  });
  return row;
}
