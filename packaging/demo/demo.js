/* The demo page: notes that follow what other windows do, and a room. Whatever comes from the server is shown as text,
 * never as HTML. */
import { Realtime } from './realtime.js';

const ROOM = 'Demo room';
const element = (id) => document.getElementById(id);
const realtime = new Realtime();

let me;
let room; /* its id */
let last; /* the newest message that was seen, its seq */
let held; /* messages that came while older ones are fetched */
const names = new Map(); /* of users */
const online = new Set();
const typing = new Set();

function fault(error) {
  element('fault').textContent = error ? error.message : '';
}

/** Runs what may fail, and says so. */
async function attempt(work) {
  try {
    fault();
    await work();
  } catch (error) {
    fault(error);
  }
}

const cookie = (name) =>
  document.cookie
    .split('; ')
    .find((pair) => pair.startsWith(`${name}=`))
    ?.slice(name.length + 1);

/** The data of the API's answer. The browser sends the session's cookie by itself. */
async function api(method, path, body) {
  const headers = { 'X-CSRF-Token': cookie('chronicle_csrf') ?? '' };
  if (body) headers['Content-Type'] = 'application/json';
  const answer = await fetch(`/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  const { success, data, error } = await answer.json();
  if (!success) throw Object.assign(new Error(error.message), { code: error.code });
  return data;
}

/** Calls at most every now and then, the last time after the last call. */
function seldom(work) {
  let timer;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      work();
    }, 250);
  };
}

function item(...texts) {
  const li = document.createElement('li');
  li.append(...texts);
  return li;
}

/* ── notes ─────────────────────────────────────────────────────────────────── */

async function showNotes() {
  const { items } = await api('GET', '/notes?limit=20');
  element('notes').replaceChildren(...items.map((note) => item(note.title || 'Untitled')));
}
const notesChanged = seldom(() => attempt(showNotes));

/* ── the room ──────────────────────────────────────────────────────────────── */

const nameOf = (id) => names.get(id) ?? 'somebody';
const learn = ({ id, userId = id, fullName, email }) => names.set(userId, fullName ?? email ?? 'somebody');
const list = (ids) => [...ids].map(nameOf).join(', ');

function showPeople() {
  element('online').textContent = list(online) || 'nobody';
  const others = list(typing);
  element('typing').textContent = others && `${others} ${typing.size > 1 ? 'are' : 'is'} typing…`;
}

function fill(li, message) {
  const who = document.createElement('b');
  if (message.user) learn(message.user);
  who.textContent = message.userId ? nameOf(message.userId) : 'somebody who left';
  const text = message.deletedAt ? 'deleted' : message.content;
  li.className = message.deletedAt ? 'gone' : '';
  li.replaceChildren(who, text);
}

function showMessage(message) {
  if (message.seq <= last) return; /* seen */
  last = message.seq;
  const messages = element('messages');
  const li = item();
  li.dataset.id = message.id;
  fill(li, message);
  messages.append(li);
  messages.scrollTop = messages.scrollHeight;
}

function changeMessage(id, message) {
  const li = [...element('messages').children].find((one) => one.dataset.id === id);
  if (li) fill(li, { ...message, userId: message.userId ?? null });
}

/** The room that this page uses: the first one of its name, or a new one. */
async function findRoom() {
  const { items } = await api('GET', `/chat/rooms?scope=all&search=${encodeURIComponent(ROOM)}`);
  const found = items.find(({ name }) => name === ROOM);
  return found ?? (await api('POST', '/chat/rooms', { name: ROOM }));
}

async function showMembers() {
  const { items } = await api('GET', `/chat/rooms/${room}/members?limit=100`);
  items.forEach(learn);
  showPeople();
}

/** After each connect: subscribes, and shows what was said meanwhile, what is said now behind it. */
async function enter() {
  held = [];
  if (!room) {
    const found = await findRoom();
    room = found.id;
    last = Math.max(0, found.lastSeq - 50);
  }
  let joined;
  do {
    joined = await realtime.emit('room:join', { roomId: room, sinceSeq: last });
    joined.missed.forEach(showMessage);
  } while (joined.hasMore);
  held.forEach(showMessage);
  held = undefined;
  online.clear();
  joined.online.forEach((id) => online.add(id));
  typing.clear();
  await showMembers();
}

const stopTyping = () => realtime.emit('typing:stop', { roomId: room }).catch(() => {});
let told = 0; /* when it was said that we type */
function weType() {
  if (Date.now() - told < 3000) return;
  told = Date.now();
  realtime.emit('typing:start', { roomId: room }).catch(() => {});
}

/* ── events of the server ──────────────────────────────────────────────────── */

const state = (text) => {
  element('state').textContent = text;
};

realtime.on('ready', () => {
  state('connected');
  notesChanged();
  attempt(enter);
});
realtime.on('lost', () => state('connection lost'));
realtime.on('refused', () => attempt(logout));
realtime.on('session:revoked', () => attempt(logout));
realtime.on('sync:changed', notesChanged);

realtime.on('message:new', ({ message }) => {
  if (message.roomId !== room) return;
  typing.delete(message.userId);
  if (held) held.push(message);
  else showMessage(message);
  showPeople();
});
realtime.on('message:updated', ({ message }) => changeMessage(message.id, message));
realtime.on('message:deleted', ({ messageId, deletedAt }) => changeMessage(messageId, { deletedAt }));
realtime.on('typing', ({ userId, isTyping }) => {
  if (isTyping) typing.add(userId);
  else typing.delete(userId);
  showPeople();
});
realtime.on('presence', ({ userId, status }) => {
  if (status === 'offline') online.delete(userId);
  else online.add(userId);
  if (names.has(userId)) showPeople();
  else attempt(showMembers);
});
realtime.on('room:member_joined', ({ member }) => {
  learn(member);
  if (member.presence !== 'offline') online.add(member.userId);
  showPeople();
});
realtime.on('room:deleted', () => {
  room = undefined;
  element('messages').replaceChildren();
  attempt(enter);
});

/* ── log in and out ────────────────────────────────────────────────────────── */

function show() {
  element('login').hidden = Boolean(me);
  element('desk').hidden = !me;
  element('who').hidden = !me;
  element('name').textContent = me ? (me.fullName ?? me.email) : '';
}

function begin(user) {
  me = user;
  learn(me);
  show();
  realtime.connect();
}

async function logout() {
  realtime.disconnect();
  const known = me;
  me = undefined;
  room = undefined;
  online.clear();
  typing.clear();
  for (const id of ['notes', 'messages']) element(id).replaceChildren();
  show();
  if (known) await api('POST', '/auth/logout', {}).catch(() => {});
}

/** What a form does with its first field. */
function submit(form, field, work) {
  element(form).addEventListener('submit', (event) => {
    event.preventDefault();
    attempt(() => work(element(field)));
  });
}

submit('login', 'email', async (email) => {
  const password = element('password').value;
  const { user } = await api('POST', '/auth/login', { email: email.value, password, session: true });
  begin(user);
});

submit('note', 'title', async (title) => {
  await api('POST', '/notes', { title: title.value });
  title.value = '';
});

let draft; /* what is being sent; the same once more, should the answer be lost, is no second message */
submit('message', 'text', async (text) => {
  const content = text.value;
  if (draft?.content !== content) draft = { content, clientId: `${Date.now()}-${Math.random()}` };
  await realtime.emit('message:send', { roomId: room, ...draft });
  draft = undefined;
  text.value = '';
  told = 0;
  await stopTyping();
});

element('text').addEventListener('input', weType);
element('logout').addEventListener('click', () => attempt(logout));

api('GET', '/auth/me').then(begin, show);
