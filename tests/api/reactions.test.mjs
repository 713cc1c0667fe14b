/* Reactions to messages (API.md section 12.1). */
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { makeRoom, say } from './lib/chat.mjs';
import { fails, invalid, NOWHERE, ok, parallel, tally } from './lib/expect.mjs';

serverSuite('Reactions', {}, (s) => {
  let alice;
  let bob;
  let eve;
  let room;
  const path = (message) => `/chat/messages/${message.id}/reactions`;
  const number = async () =>
    Number((await s.sql('SELECT event_seq FROM chat_rooms WHERE id = $1', [room.id]))[0].event_seq);

  before(async () => {
    [alice, bob, eve] = await s.users(3);
    room = await makeRoom(alice, {}, [bob]);
  });

  it('added, counted, in order of first use; again changes nothing', async () => {
    const message = await say(alice, room);
    const start = await number();
    const res = await bob.post(path(message), { emoji: '👍🏽' });
    assert.deepEqual(ok(res, 201), {
      messageId: message.id,
      reactions: [{ emoji: '👍🏽', count: 1, me: true }],
    });
    assert.equal(decodeURIComponent(res.headers.location), `/api/v1${path(message)}/👍🏽`);
    ok(await alice.post(path(message), { emoji: 'A' }), 201);
    const both = ok(await alice.post(path(message), { emoji: '👍🏽' }), 201).reactions;
    assert.deepEqual(both, [
      { emoji: '👍🏽', count: 2, me: true },
      { emoji: 'A', count: 1, me: true },
    ]);
    assert.deepEqual(ok(await alice.post(path(message), { emoji: '👍🏽' }), 200).reactions, both);
    assert.equal((await number()) - start, 3);
    assert.deepEqual(
      ok(await bob.get(`/chat/messages/${message.id}`)).reactions.map((r) => r.me),
      [true, false],
    );
  });

  it('taken back by an encoded path', async () => {
    const message = await say(alice, room);
    for (const emoji of ['❤️', '%/.', '☕']) ok(await alice.post(path(message), { emoji }), 201);
    const gone = await alice.del(`${path(message)}/${encodeURIComponent('❤️')}`);
    assert.deepEqual(
      ok(gone).reactions.map((r) => r.emoji),
      ['%/.', '☕'],
    );
    assert.deepEqual(
      ok(await alice.del(`${path(message)}/${encodeURIComponent('%/.')}`)).reactions.map((r) => r.emoji),
      ['☕'],
    );
    const start = await number();
    fails(await bob.del(`${path(message)}/${encodeURIComponent('☕')}`), 404, 'REACTION_NOT_FOUND');
    fails(await alice.del(`${path(message)}/x`), 404, 'REACTION_NOT_FOUND');
    assert.equal(await number(), start);
    invalid(await alice.del(`${path(message)}/a%20b`), ['emoji', 'INVALID_FORMAT']);
  });

  const refused = [
    ['white space', 'a b', 'INVALID_FORMAT'],
    ['a no-break space', 'a\u00a0b', 'INVALID_FORMAT'],
    ['a control character', 'a\u0085b', 'INVALID_FORMAT'],
    ['nothing', '', 'TOO_SHORT'],
    ['17 characters', 'x'.repeat(17), 'TOO_LONG'],
    ['65 bytes', '\u{1F468}'.repeat(16) + 'x', 'TOO_LONG'],
    ['null', null, 'WRONG_TYPE'],
  ];
  for (const [what, emoji, code] of refused) {
    it(`refused: ${what}`, async () => {
      invalid(await alice.post(path(await say(alice, room)), { emoji }), ['emoji', code]);
    });
  }

  it('at most 20 different ones, also when many come at once', async () => {
    const message = await say(alice, room);
    const answers = await parallel(24, (n) => (n % 2 ? alice : bob).post(path(message), { emoji: `e${n}` }));
    assert.deepEqual(tally(answers.map((res) => res.status)), { 201: 20, 400: 4 });
    invalid(await alice.post(path(message), { emoji: 'more' }), ['emoji', 'TOO_MANY']);
    const used = answers.findIndex((res, n) => res.status === 201 && n % 2 === 0);
    assert.equal(ok(await alice.post(path(message), { emoji: `e${used}` }), 201).reactions.length, 20);
  });

  it('the same one at once is one', async () => {
    const message = await say(alice, room);
    const start = await number();
    const answers = await parallel(8, () => bob.post(path(message), { emoji: '🎉' }));
    assert.deepEqual(tally(answers.map((res) => res.status)), { 200: 7, 201: 1 });
    assert.equal((await number()) - start, 1);
  });

  it('only by members', async () => {
    const message = await say(alice, room);
    const admin = await newAdmin(s);
    for (const who of [eve, admin]) {
      fails(await who.post(path(message), { emoji: 'x' }), 404, 'MESSAGE_NOT_FOUND');
      fails(await who.del(`${path(message)}/x`), 404, 'MESSAGE_NOT_FOUND');
    }
    fails(await alice.post(path({ id: NOWHERE }), { emoji: 'x' }), 404, 'MESSAGE_NOT_FOUND');
  });
});
