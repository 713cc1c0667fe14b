/* The demo page in a real browser: windows that talk to each other. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { chromium } from 'playwright-core';
import { Server } from '../api/lib/server.mjs';
import { newUser } from '../api/lib/accounts.mjs';
import { inTime, patience, until } from '../api/lib/env.mjs';

/** The lines of conf/httpd.conf.in that are about the page. */
function demoLines() {
  const template = fs.readFileSync(new URL('../../conf/httpd.conf.in', import.meta.url), 'utf8');
  const [, part] = /^# ── the demo page ─+\n(.*?)^# ── /ms.exec(template);
  return part.replaceAll('@DEMO@', process.env.CH_TEST_DEMO).split('\n');
}

const BROWSER = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((file) => fs.existsSync(file));
const EVIL = '<img src=x onerror="document.title=1"><script>alert(1)</script>&amp;';

describe('The demo page', { skip: !BROWSER && 'there is no chromium' }, () => {
  const server = new Server({ modules: ['alias', 'dir', 'headers'], head: demoLines() });
  const faults = [];
  let browser;
  let alice; /* two windows of one browser */
  let other;
  let bob;
  let people;

  async function open(context) {
    const page = await context.newPage();
    page.setDefaultTimeout(60000 * patience);
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' && !/status of 40[01]|WebSocket connection/.test(message.text())) {
        faults.push(message.text());
      }
    });
    page.on('dialog', (dialog) => faults.push(`dialog ${dialog.message()}`));
    page.on('request', (request) => {
      if (!/^data:/.test(request.url()) && new URL(request.url()).origin !== server.origin) faults.push(request.url());
    });
    await page.goto(`${server.origin}/demo`);
    return page;
  }
  async function login(page, { email, password }) {
    await page.getByLabel('E-mail').fill(email);
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Log in' }).click();
    await connected(page);
  }
  const connected = (page) => shows(page, '#state', /^connected$/);
  const texts = (page, selector) => page.locator(selector).allTextContents();
  const shows = (page, selector, pattern) =>
    until(async () => pattern.test((await texts(page, selector)).join('\n')), 8000, `${selector} shows ${pattern}`);
  const say = async (page, text) => {
    await page.getByLabel('Say something').fill(text);
    await page.getByRole('button', { name: 'Send' }).click();
  };

  /* What is said while the connection is away stays in its field, with the reason; one presses the button once more. */
  const sayUntilSent = (page, text) =>
    until(
      async () => {
        await say(page, text);
        const sent = async () => (await page.getByLabel('Say something').inputValue()) === '';
        return inTime(3000, sent);
      },
      30000,
      `${text} is sent`,
    );

  before(async () => {
    await server.start();
    people = await Promise.all(['Alice', 'Bob'].map((fullName) => newUser(server, { fullName })));
    browser = await chromium.launch({
      executablePath: BROWSER,
      timeout: 120000,
      args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    });
    const contexts = await Promise.all([browser.newContext(), browser.newContext()]);
    alice = await open(contexts[0]);
    bob = await open(contexts[1]);
    await login(alice, people[0]);
    await login(bob, people[1]);
    other = await open(contexts[0]);
    await connected(other);
  });
  after(async () => {
    await browser?.close();
    await server.stop();
  });

  it('may run nothing but its own files', async () => {
    const res = await fetch(`${server.origin}/demo/`);
    const policy = res.headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|http/);
    assert.equal(res.headers.get('x-content-type-options'), 'nosniff');
    const html = await res.text();
    assert.doesNotMatch(html, /<script(?![^>]*src=)|\son\w+=|\sstyle=|https?:/);
  });

  it('a note that is made in one window appears in the other one, and nowhere else', async () => {
    await alice.getByLabel('A new note').fill('Bread and butter');
    await alice.getByRole('button', { name: 'Add' }).click();
    for (const page of [alice, other]) await shows(page, '#notes li', /^Bread and butter$/m);
    await people[0].post('/notes', { title: 'by the API' });
    for (const page of [alice, other]) await shows(page, '#notes li', /^by the API$/m);
    assert.deepEqual(await texts(bob, '#notes li'), []);
  });

  it('shows who is there', async () => {
    for (const page of [alice, other, bob]) {
      await shows(page, '#online', /Alice/);
      await shows(page, '#online', /Bob/);
    }
  });

  it('shows who is typing, until it was said', async () => {
    await bob.getByLabel('Say something').pressSequentially('Hel');
    for (const page of [alice, other]) await shows(page, '#typing', /^Bob is typing/);
    assert.deepEqual(await texts(bob, '#typing'), ['']);
    await say(bob, 'Hello \u{1f44b}');
    for (const page of [alice, other, bob]) await shows(page, '#messages li', /^BobHello \u{1f44b}$/mu);
    for (const page of [alice, other]) await shows(page, '#typing', /^$/);
  });

  it('shows text as text', async () => {
    await say(alice, EVIL);
    await alice.getByLabel('A new note').fill(EVIL);
    await alice.getByRole('button', { name: 'Add' }).click();
    for (const page of [alice, other, bob]) {
      await until(async () => (await texts(page, '#messages li')).includes(`Alice${EVIL}`), 5000, 'the message');
      assert.equal(await page.locator('#desk img, #desk script').count(), 0);
    }
    await until(async () => (await texts(other, '#notes li')).includes(EVIL), 5000, 'the note');
  });

  it('misses nothing while the server restarts', async () => {
    const before_ = await texts(bob, '#messages li');
    for (let n = 0; n < 3; n += 1) {
      server.signal('SIGUSR1');
      await sayUntilSent(alice, `at restart ${n}`);
      await shows(bob, '#messages li', new RegExp(`^Aliceat restart ${n}$`, 'm'));
    }
    for (const page of [alice, other, bob]) await connected(page);
    await say(bob, 'all here?');
    for (const page of [alice, other, bob]) await shows(page, '#messages li', /all here\?/);
    const all = await texts(bob, '#messages li');
    assert.deepEqual(all.slice(0, before_.length), before_);
    assert.deepEqual(await texts(other, '#messages li'), all);
    assert.equal(all.length, before_.length + 4, all.join('\n'));
  });

  /* In 5 s; but children that ended in the restarts before are thought to be there for some seconds more. */
  it('shows who has left', async () => {
    await bob.context().close();
    for (const page of [alice, other]) {
      await until(async () => !/Bob/.test(await texts(page, '#online')), 10000, 'Bob is gone');
    }
  });

  it('logging out ends it in all windows', async () => {
    await alice.getByRole('button', { name: 'Log out' }).click();
    for (const page of [alice, other]) await page.getByLabel('E-mail').waitFor();
    assert.equal(await other.locator('#messages li').count(), 0);
  });

  it('had nothing to complain about', () => {
    assert.deepEqual(faults, []);
  });
});
