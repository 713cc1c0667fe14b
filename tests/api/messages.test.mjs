/* Messages: sending, order, lists, editing, deleting, search, read markers (API.md section 12.1). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { newAdmin } from './lib/accounts.mjs';
import { history, makeRoom, say } from './lib/chat.mjs';
import { TIMESTAMP, UUIDV7 } from './lib/contract.mjs';
import { until } from './lib/env.mjs';
import { fails, ids, invalid, NOWHERE, ok, parallel, times } from './lib/expect.mjs';

serverSuite('Messages', {}, (s) => {
  let alice;
  let bob;
  let eve;
  let room;
  const list = async (query = '', who = alice, of = room) =>
    ok(await who.get(`/chat/rooms/${of.id}/messages${query}`));

  before(async () => {
    [alice, bob, eve] = await s.users(3);
    ok(await alice.put('/user/profile', { fullName: 'Alice A', avatarUrl: 'https://example.com/a.png' }));
    room = await makeRoom(alice, {}, [bob]);
  });

  it('a message is what was sent, with the next number, and is read back the same', async () => {
    const own = await makeRoom(alice, {}, [bob]);
    const res = await alice.post(`/chat/rooms/${own.id}/messages`, { content: ' Hi\n<b>', clientId: ' c1 ' });
    const message = ok(res, 201);
    assert.match(message.id, UUIDV7);
    assert.match(message.createdAt, TIMESTAMP);
    assert.deepEqual(message, {
      id: message.id,
      roomId: own.id,
      seq: 1,
      userId: alice.user.id,
      user: { id: alice.user.id, fullName: 'Alice A', avatarUrl: 'https://example.com/a.png' },
      content: ' Hi\n<b>',
      replyToId: null,
      replyTo: null,
      clientId: 'c1',
      reactions: [],
      editedAt: null,
      deletedAt: null,
      createdAt: message.createdAt,
    });
    assert.equal(res.headers.location, `/api/v1/chat/messages/${message.id}`);
    assert.deepEqual(ok(await bob.get(`/chat/messages/${message.id}`)), message);
    assert.deepEqual((await list('', bob, own)).items, [message]);
    const seen = ok(await bob.get(`/chat/rooms/${own.id}`));
    assert.deepEqual(seen.lastMessage, message);
    assert.equal(seen.lastSeq, 1);
    assert.equal(seen.unreadCount, 1);
    assert.equal(ok(await alice.get(`/chat/rooms/${own.id}`)).unreadCount, 0);
  });

  const refused = [
    ['no content', {}, ['content', 'MISSING_FIELD']],
    ['empty content', { content: '' }, ['content', 'TOO_SHORT']],
    ['white space', { content: ' \u2003\n\t' }, ['content', 'INVALID_FORMAT']],
    ['4001 characters', { content: '😀'.repeat(4001) }, ['content', 'TOO_LONG']],
    ['a control character', { content: 'a\u0001' }, ['content', 'INVALID_FORMAT']],
    ['null', { content: null }, ['content', 'WRONG_TYPE']],
    ['a long clientId', { content: 'a', clientId: 'x'.repeat(65) }, ['clientId', 'TOO_LONG']],
    ['a reply to no id', { content: 'a', replyToId: 'x' }, ['replyToId', 'INVALID_FORMAT']],
    ['a number', { content: 'a', seq: 3 }, ['seq', 'UNKNOWN_FIELD']],
  ];
  for (const [what, body, detail] of refused) {
    it(`send refuses ${what}`, async () => {
      invalid(await alice.post(`/chat/rooms/${room.id}/messages`, body), detail);
    });
  }

  it('4000 characters of any kind are kept byte for byte', async () => {
    const content = `${'😀'.repeat(3998)}\u0301\u202e`;
    assert.equal((await say(alice, room, content)).content, content);
  });

  it('the same clientId of the same user in the room is the first message again', async () => {
    const first = await say(alice, room, { content: 'one', clientId: 'again' });
    const res = await alice.post(`/chat/rooms/${room.id}/messages`, { content: 'two', clientId: 'again' });
    assert.deepEqual(ok(res, 200), first);
    assert.equal(ok(await alice.get(`/chat/rooms/${room.id}`)).lastSeq, first.seq);
    assert.equal((await say(bob, room, { clientId: 'again' })).seq, first.seq + 1);
    const other = await makeRoom(alice);
    assert.equal((await say(alice, other, { clientId: 'again' })).seq, 1);
  });

  it('of many with the same clientId at once exactly one is made, and all get it', async () => {
    const own = await makeRoom(alice);
    for (const round of times(10, (n) => `race ${n}`)) {
      const answers = await parallel(8, (n) =>
        alice.post(
          `/chat/rooms/${own.id}/messages`,
          { content: `${n}`, clientId: round },
          n % 4 ? {} : { headers: { 'Idempotency-Key': crypto.randomUUID() } },
        ),
      );
      const made = answers.filter((res) => res.status === 201);
      assert.equal(made.length, 1, answers.map((res) => res.text).join('\n'));
      for (const res of answers) assert.deepEqual(ok(res, res === made[0] ? 201 : 200), made[0].json.data);
    }
    assert.deepEqual(
      (await history(alice, own)).map((m) => m.seq),
      times(10, (n) => n + 1),
    );
  });

  it('an Idempotency-Key gives the same answer again', async () => {
    const headers = { 'Idempotency-Key': crypto.randomUUID() };
    const first = ok(await alice.post(`/chat/rooms/${room.id}/messages`, { content: 'x' }, { headers }), 201);
    const again = await alice.post(`/chat/rooms/${room.id}/messages`, { content: 'x' }, { headers });
    assert.deepEqual(ok(again, 201), first);
    assert.equal(again.headers['idempotent-replayed'], 'true');
  });

  it('eight senders at once: numbers without gap, in the order of commits', async () => {
    const users = [alice, bob, eve, ...(await s.users(5))];
    const own = await makeRoom(alice, {}, users.slice(1));
    const sent = await Promise.all(
      users.map(async (user, k) => {
        const mine = [];
        for (let n = 0; n < 125; n += 1) mine.push(await say(user, own, { content: `${k} ${n}` }));
        return mine;
      }),
    );
    const all = await history(bob, own);
    assert.deepEqual(
      all.map((m) => m.seq),
      times(1000, (n) => n + 1),
    );
    for (const mine of sent) {
      assert.ok(
        mine.every((m, n) => n === 0 || m.seq > mine[n - 1].seq),
        'each sender sees his numbers grow',
      );
    }
    assert.ok(
      all.every((m, n) => n === 0 || m.createdAt >= all[n - 1].createdAt),
      'times have the order of numbers',
    );
    const [row] = await s.sql('SELECT last_seq, event_seq FROM chat_rooms WHERE id = $1', [own.id]);
    /* seven were invited before */
    assert.deepEqual([Number(row.last_seq), Number(row.event_seq)], [1000, 1007]);
  });

  it('who is removed while he waits for his turn is told so', async () => {
    for (const [isPrivate, status, code] of [
      [false, 403, 'NOT_ROOM_MEMBER'],
      [true, 404, 'ROOM_NOT_FOUND'],
    ]) {
      const own = await makeRoom(alice, { isPrivate }, [bob]);
      const other = await s.session();
      await other.query('BEGIN');
      await other.query('UPDATE chat_rooms SET member_count = 1 WHERE id = $1', [own.id]);
      const sent = bob.post(`/chat/rooms/${own.id}/messages`, { content: 'too late' });
      await until(() => s.waiting(), 10000, 'he waits');
      await other.query('DELETE FROM room_members WHERE room_id = $1 AND user_id = $2', [own.id, bob.user.id]);
      await other.query('COMMIT');
      fails(await sent, status, code);
      assert.equal((await say(alice, own)).seq, 1);
    }
  });

  it('a reply shows 200 characters of what it replies to, which must be a message of the room', async () => {
    const first = await say(bob, room, '𝔘'.repeat(300));
    const reply = await say(alice, room, { content: 'so', replyToId: first.id });
    assert.equal(reply.replyToId, first.id);
    assert.deepEqual(reply.replyTo, { id: first.id, userId: bob.user.id, content: '𝔘'.repeat(200) });
    const other = await makeRoom(alice);
    const foreign = await say(alice, other);
    for (const replyToId of [foreign.id, NOWHERE]) {
      fails(
        await alice.post(`/chat/rooms/${room.id}/messages`, { content: 'x', replyToId }),
        404,
        'MESSAGE_NOT_FOUND',
      );
    }
    ok(await bob.del(`/chat/messages/${first.id}`));
    assert.equal(ok(await alice.get(`/chat/messages/${reply.id}`)).replyTo.content, '');
    fails(
      await alice.post(`/chat/rooms/${room.id}/messages`, { content: 'x', replyToId: first.id }),
      404,
      'MESSAGE_NOT_FOUND',
    );
  });

  it('the list goes by cursor, newest first, without totals', async () => {
    const own = await makeRoom(alice);
    for (let n = 1; n <= 7; n += 1) await say(alice, own, `${n}`);
    const first = await list('?limit=3', alice, own);
    assert.deepEqual(
      first.items.map((m) => m.seq),
      [7, 6, 5],
    );
    assert.deepEqual(first.pagination, {
      page: null,
      limit: 3,
      total: null,
      totalPages: null,
      hasNext: true,
      hasPrev: false,
      nextCursor: first.pagination.nextCursor,
    });
    await say(alice, own, '8');
    const second = await list(`?limit=3&cursor=${encodeURIComponent(first.pagination.nextCursor)}`, alice, own);
    assert.deepEqual(
      second.items.map((m) => m.seq),
      [4, 3, 2],
    );
    assert.equal(second.pagination.hasPrev, true);
    const third = await list(`?limit=3&cursor=${encodeURIComponent(second.pagination.nextCursor)}`, alice, own);
    assert.deepEqual(
      third.items.map((m) => m.seq),
      [1],
    );
    assert.deepEqual([third.pagination.hasNext, third.pagination.nextCursor], [false, null]);
    const foreign = await alice.get(
      `/chat/rooms/${room.id}/messages?cursor=${encodeURIComponent(first.pagination.nextCursor)}`,
    );
    invalid(foreign, ['cursor', 'INVALID_VALUE']);
    assert.deepEqual((await list('', alice, await makeRoom(alice))).items, []);
  });

  it('after and sinceSeq: oldest first, page by page', async () => {
    const own = await makeRoom(alice);
    const sent = [];
    for (let n = 1; n <= 5; n += 1) sent.push(await say(alice, own, `${n}`));
    for (const query of ['?sinceSeq=0&limit=2', `?after=${sent[0].id}&limit=2`]) {
      const start = query.includes('since') ? 0 : 1;
      const first = await list(query, alice, own);
      assert.deepEqual(ids(first.items), ids(sent.slice(start, start + 2)));
      const next = await list(
        `?limit=100&cursor=${encodeURIComponent(first.pagination.nextCursor)}`,
        alice,
        own,
      );
      assert.deepEqual(ids(next.items), ids(sent.slice(start + 2)));
      assert.equal(next.pagination.nextCursor, null);
    }
    assert.deepEqual((await list('?sinceSeq=5', alice, own)).items, []);
    assert.deepEqual((await list('?sinceSeq=99999999999', alice, own)).items, []);
    assert.deepEqual((await list(`?after=${sent[4].id}`, alice, own)).items, []);
    invalid(await alice.get(`/chat/rooms/${room.id}/messages?after=${sent[0].id}`), ['after', 'NOT_FOUND']);
    invalid(await alice.get(`/chat/rooms/${room.id}/messages?page=1`), ['page', 'UNKNOWN_FIELD']);
    invalid(await alice.get(`/chat/rooms/${room.id}/messages?sinceSeq=-1`), ['sinceSeq', 'TOO_SMALL']);
    for (const query of ['cursor=&sinceSeq=1', `after=${NOWHERE}&sinceSeq=1`, `after=${NOWHERE}&cursor=`]) {
      const res = await alice.get(`/chat/rooms/${room.id}/messages?${query}`);
      assert.equal(fails(res, 400, 'VALIDATION_ERROR').details.length, 1);
    }
  });

  it('edit: by the author alone; the same words change nothing', async () => {
    const message = await say(bob, room, 'first');
    const same = ok(await bob.put(`/chat/messages/${message.id}`, { content: 'first' }));
    assert.deepEqual(same, message);
    assert.deepEqual(ok(await bob.put(`/chat/messages/${message.id}`, {})), message);
    const edited = ok(await bob.patch(`/chat/messages/${message.id}`, { content: 'second' }));
    assert.match(edited.editedAt, TIMESTAMP);
    assert.deepEqual(edited, { ...message, content: 'second', editedAt: edited.editedAt });
    for (const body of [{ content: 'x' }, {}]) fails(await alice.put(`/chat/messages/${message.id}`, body), 403, 'FORBIDDEN');
    fails(await eve.put(`/chat/messages/${message.id}`, { content: 'x' }), 404, 'MESSAGE_NOT_FOUND');
    invalid(await bob.put(`/chat/messages/${message.id}`, { content: ' ' }), ['content', 'INVALID_FORMAT']);
    assert.deepEqual(ok(await alice.get(`/chat/messages/${message.id}`)), edited);
  });

  it('delete: by author, owner, moderator, administrator; the place stays, empty', async () => {
    const [mod, plain] = await s.users(2);
    const admin = await newAdmin(s);
    const own = await makeRoom(alice, { isPrivate: true }, [bob, mod, plain]);
    ok(await alice.put(`/chat/rooms/${own.id}/members/${mod.user.id}`, { role: 'moderator' }));
    const doomed = [];
    for (const who of [bob, alice, mod, admin]) {
      const message = await say(bob, own, `for ${who.email}`);
      ok(await plain.post(`/chat/messages/${message.id}/reactions`, { emoji: '👍' }), 201);
      fails(await plain.del(`/chat/messages/${message.id}`), 403, 'FORBIDDEN');
      fails(await eve.del(`/chat/messages/${message.id}`), 404, 'MESSAGE_NOT_FOUND');
      const gone = ok(await who.del(`/chat/messages/${message.id}`));
      assert.deepEqual(gone, { id: message.id, deletedAt: gone.deletedAt });
      doomed.push({ ...message, content: '', reactions: [], deletedAt: gone.deletedAt });
      for (const res of [
        await who.del(`/chat/messages/${message.id}`),
        await bob.put(`/chat/messages/${message.id}`, { content: 'x' }),
        await bob.get(`/chat/messages/${message.id}`),
        await bob.post(`/chat/messages/${message.id}/reactions`, { emoji: '👍' }),
      ]) {
        fails(res, 404, 'MESSAGE_NOT_FOUND');
      }
    }
    assert.deepEqual(await history(alice, own), doomed);
    const rows = await s.sql('SELECT content FROM chat_messages WHERE room_id = $1', [own.id]);
    assert.ok(rows.every((row) => row.content === ''));
  });

  it('aliases: roomId among the fields, marked as deprecated', async () => {
    const sent = await alice.post('/chat/messages', { roomId: room.id, content: 'by alias' });
    const message = ok(sent, 201);
    const link = `</api/v1/chat/rooms/${room.id}/messages>; rel="successor-version"`;
    assert.deepEqual([sent.headers.deprecation, sent.headers.link], ['true', link]);
    const listed = await alice.get(`/chat/messages?roomId=${room.id}&limit=1`);
    assert.deepEqual(ok(listed).items, [message]);
    assert.deepEqual([listed.headers.deprecation, listed.headers.link], ['true', link]);
    invalid(await alice.post('/chat/messages', { content: 'x' }), ['roomId', 'MISSING_FIELD']);
    invalid(await alice.get('/chat/messages'), ['roomId', 'MISSING_FIELD']);
    const next = ok(listed).pagination.nextCursor;
    assert.equal((await list(`?cursor=${encodeURIComponent(next)}`)).items[0].seq, message.seq - 1);
  });

  it('search: words in the rooms of the caller, newest first, with marks', async () => {
    const word = `zebra${crypto.randomBytes(4).toString('hex')}`;
    const other = await makeRoom(bob);
    const one = await say(alice, room, `a ${word.toUpperCase()} & <i>more</i>`);
    const two = await say(bob, room, `List<${word}>`);
    await say(bob, other, word);
    const gone = await say(bob, room, word);
    ok(await bob.del(`/chat/messages/${gone.id}`));
    const found = ok(await alice.get(`/chat/messages/search?q=${word}`));
    assert.deepEqual(ids(found.items), [two.id, one.id]);
    assert.deepEqual(
      found.items.map((m) => m.highlight),
      [
        `List&lt;<mark>${word}</mark>&gt;`,
        `a <mark>${word.toUpperCase()}</mark> &amp; &lt;i&gt;more&lt;/i&gt;`,
      ],
    );
    assert.equal(found.pagination.total, 2);
    assert.equal(found.items[0].content, two.content);
    assert.deepEqual(ids(ok(await bob.get(`/chat/messages/search?q=${word}&roomId=${room.id}`)).items), [
      two.id,
      one.id,
    ]);
    assert.equal(ok(await bob.get(`/chat/messages/search?q=${word}`)).pagination.total, 3);
    assert.deepEqual(ok(await eve.get(`/chat/messages/search?q=${word}`)).items, []);
    const second = ok(await alice.get(`/chat/messages/search?q=${word}&limit=1&page=2`));
    assert.deepEqual(ids(second.items), [one.id]);
    fails(await alice.get(`/chat/messages/search?q=a&roomId=${other.id}`), 403, 'NOT_ROOM_MEMBER');
    fails(await alice.get(`/chat/messages/search?q=a&roomId=${NOWHERE}`), 404, 'ROOM_NOT_FOUND');
    assert.deepEqual(ok(await alice.get('/chat/messages/search?q=%21%21')).items, []);
    invalid(await alice.get('/chat/messages/search'), ['q', 'MISSING_FIELD']);
  });

  it('read markers only go forward, and unread is what is behind them', async () => {
    const own = await makeRoom(alice, {}, [bob]);
    const mark = async (who, messageId) =>
      ok(await who.post(`/chat/rooms/${own.id}/read`, messageId ? { messageId } : undefined));
    assert.deepEqual(await mark(bob), { roomId: own.id, lastReadMessageId: null, unreadCount: 0 });
    const sent = [];
    for (let n = 0; n < 4; n += 1) sent.push(await say(alice, own));
    assert.deepEqual(await mark(bob, sent[1].id), {
      roomId: own.id,
      lastReadMessageId: sent[1].id,
      unreadCount: 2,
    });
    assert.deepEqual((await mark(bob, sent[0].id)).lastReadMessageId, sent[1].id);
    ok(await alice.del(`/chat/messages/${sent[2].id}`));
    const unread = ok(await bob.get('/chat/unread'));
    assert.deepEqual(
      unread.rooms.find((r) => r.roomId === own.id),
      { roomId: own.id, unreadCount: 2, lastReadMessageId: sent[1].id },
    );
    assert.equal(
      unread.total,
      unread.rooms.reduce((sum, r) => sum + r.unreadCount, 0),
    );
    assert.equal((await mark(bob, sent[2].id)).unreadCount, 1);
    assert.deepEqual(await mark(bob), { roomId: own.id, lastReadMessageId: sent[3].id, unreadCount: 0 });
    assert.equal((await mark(alice)).unreadCount, 0);
    await say(bob, own);
    assert.equal(ok(await bob.get(`/chat/rooms/${own.id}`)).unreadCount, 0);
    assert.equal(ok(await alice.get(`/chat/rooms/${own.id}`)).unreadCount, 1);
    const foreign = await say(alice, room);
    fails(
      await alice.post(`/chat/rooms/${own.id}/read`, { messageId: foreign.id }),
      404,
      'MESSAGE_NOT_FOUND',
    );
  });

  it('presence: nobody is there without a socket', async () => {
    assert.deepEqual(ok(await bob.get(`/chat/rooms/${room.id}/presence`)), {
      roomId: room.id,
      online: [],
      typing: [],
    });
  });
});
