/* What the server's settings do to chat: refused words, the rate of sending, the switch (API.md sections 1.9, 12.1, 19). */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { makeRoom, say } from './lib/chat.mjs';
import { fails, ok } from './lib/expect.mjs';

serverSuite('Words that chat refuses', { directives: ['ChronicleBlockedWords ape Straße "bad.word"'] }, (s) => {
  it('whole words in any case, sent or edited to', async () => {
    const user = await s.user();
    const room = await makeRoom(user);
    const message = await say(user, room, 'grape, apes, ape_1, bad-word, b.ad.word');
    for (const content of ['ape', 'an APE!', 'Ａpe', '(ape)', 'STRASSE', 'a bad.WORD']) {
      fails(await user.post(`/chat/rooms/${room.id}/messages`, { content }), 400, 'CONTENT_REJECTED');
      fails(await user.put(`/chat/messages/${message.id}`, { content }), 400, 'CONTENT_REJECTED');
    }
    assert.deepEqual(ok(await user.get(`/chat/messages/${message.id}`)), message);
    assert.equal(ok(await user.get(`/chat/rooms/${room.id}`)).lastSeq, 1);
  });
});

serverSuite('The rate of sending', { limits: { chat: '3/600' } }, (s) => {
  it('is counted by user, in all rooms, by either path', async () => {
    const [alice, bob] = await s.users(2);
    const rooms = [await makeRoom(alice, {}, [bob]), await makeRoom(alice)];
    await say(alice, rooms[0]);
    await say(alice, rooms[1]);
    const third = await alice.post('/chat/messages', { roomId: rooms[0].id, content: 'x' });
    ok(third, 201);
    assert.equal(third.headers['ratelimit-remaining'], '0');
    fails(
      await alice.post(`/chat/rooms/${rooms[0].id}/messages`, { content: 'x' }),
      429,
      'RATE_LIMIT_EXCEEDED',
    );
    await say(bob, rooms[0]);
    ok(await alice.get(`/chat/rooms/${rooms[0].id}/messages`));
  });
});

serverSuite('Chat switched off', { directives: ['ChronicleFeature chat Off'] }, (s) => {
  it('is not there', async () => {
    const user = await s.user();
    for (const path of ['/chat/rooms', '/chat/unread', '/chat/messages/search?q=a']) {
      fails(await user.get(path), 404, 'ROUTE_NOT_FOUND');
    }
  });
});
