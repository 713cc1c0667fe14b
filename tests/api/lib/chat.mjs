/* Rooms and messages for tests. */
import { ok } from './expect.mjs';

/** A room of its owner, with these members (users) in it. */
export async function makeRoom(owner, fields = {}, members = []) {
  const room = ok(await owner.post('/chat/rooms', { name: 'Room', ...fields }), 201);
  for (const user of members) {
    ok(await owner.post(`/chat/rooms/${room.id}/members`, { userId: user.user.id }), 201);
  }
  return room;
}

/** A message; `fields` may be its text. */
export async function say(user, room, fields = {}) {
  const body = typeof fields === 'string' ? { content: fields } : { content: 'Hello', ...fields };
  return ok(await user.post(`/chat/rooms/${room.id ?? room}/messages`, body), 201);
}

/** All messages of a room behind a number, oldest first, page by page. */
export async function history(user, room, since = 0) {
  const items = [];
  let query = `sinceSeq=${since}&limit=100`;
  for (;;) {
    const page = ok(await user.get(`/chat/rooms/${room.id}/messages?${query}`));
    items.push(...page.items);
    if (!page.pagination.hasNext) return items;
    query = `cursor=${encodeURIComponent(page.pagination.nextCursor)}&limit=100`;
  }
}
