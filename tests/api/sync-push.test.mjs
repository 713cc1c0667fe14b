/* Sync (API.md 7): what a push refuses, as a whole and item by item, and the form of its answer. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { NOWHERE, fails, ids, invalid, ok, times } from './lib/expect.mjs';
import { changeSeq, noteRow, pull, push, pushFolders, pushNotes, sane, sound } from './lib/sync.mjs';
import { tryPush, uuid, verdict } from './lib/sync.mjs';

const note = (fields) => ({ id: uuid(), title: 'note', ...fields });
const folder = (fields) => ({ id: uuid(), name: uuid(), ...fields });
const LARGEST = 2097152;

serverSuite('Sync: push', { limits: { api: 'off' } }, (s) => {
  describe('faults of the whole', () => {
    const cases = [
      ['no deviceId', { deviceId: undefined }, ['deviceId', 'MISSING_FIELD']],
      ['an empty deviceId', { deviceId: '' }, ['deviceId', 'TOO_SHORT']],
      ['a deviceId of 256', { deviceId: 'x'.repeat(256) }, ['deviceId', 'TOO_LONG']],
      ['deviceId null', { deviceId: null }, ['deviceId', 'WRONG_TYPE']],
      ['notes null', { notes: null }, ['notes', 'WRONG_TYPE']],
      ['an object as notes', { notes: {} }, ['notes', 'WRONG_TYPE']],
      ['a text as folders', { folders: 'x' }, ['folders', 'WRONG_TYPE']],
      ['501 notes', { notes: times(501, () => note()) }, ['notes', 'TOO_MANY']],
      ['501 folders', { folders: times(501, () => folder()) }, ['folders', 'TOO_MANY']],
      ['501 items that are none', { notes: times(501, () => null) }, ['notes', 'TOO_MANY']],
      ['an unknown field', { cursor: 'x' }, ['cursor', 'UNKNOWN_FIELD']],
    ];
    let user;
    for (const [name, body, detail] of cases) {
      it(`${name}: 400, and nothing is done`, async () => {
        user ??= await s.user();
        const before = await changeSeq(s, user);
        invalid(await tryPush(user, { notes: [note()], folders: [folder()], ...body }), detail);
        assert.equal(await changeSeq(s, user), before);
      });
    }

    it('what is not JSON as it should be', async () => {
      const send = (body) => user.api('POST', '/sync/push', { body });
      const twice = `{"deviceId":"a","notes":[{"id":"${uuid()}","title":"a","title":"b"}]}`;
      for (const body of ['', '{', twice, '{"deviceId":"a","notes":[{"title":"\\u0000"}]}', '{"deviceId":"a"} x']) {
        fails(await send(body), 400, 'MALFORMED_JSON');
      }
      invalid(await send('[]'), [null, 'WRONG_TYPE']);
      fails(await user.api('POST', '/sync/push', { body: '{"deviceId":"a"}', type: 'text/plain' }), 415, 'UNSUPPORTED_MEDIA_TYPE');
      fails(await tryPush(user, { notes: times(6, () => note({ content: 'x'.repeat(LARGEST) })) }), 413, 'PAYLOAD_TOO_LARGE');
    });

    it('nothing to do is no fault', async () => {
      const { cursor } = await pull(user);
      for (const body of [{}, { notes: [] }, { folders: [] }, { notes: [], folders: [] }]) {
        const done = await push(user, body);
        assert.deepEqual(
          [done.notes, done.folders, done.conflicts, done.summary],
          [[], [], [], { applied: 0, conflicts: 0, rejected: 0 }],
        );
        assert.equal(done.cursor, cursor);
      }
    });
  });

  /* [what, fields of the item, details; none: applied] */
  const common = [
    ['baseVersion -1', { baseVersion: -1 }, 'baseVersion:TOO_SMALL'],
    ['baseVersion past what a version can be', { baseVersion: 2147483648 }, 'baseVersion:TOO_LARGE'],
    ['baseVersion "1"', { baseVersion: '1' }, 'baseVersion:WRONG_TYPE'],
    ['baseVersion 1.5', { baseVersion: 1.5 }, 'baseVersion:WRONG_TYPE'],
    ['baseVersion null', { baseVersion: null }, 'baseVersion:WRONG_TYPE'],
    ['updatedAt null', { updatedAt: null }, 'updatedAt:WRONG_TYPE'],
    ['updatedAt of no form', { updatedAt: 'yesterday' }, 'updatedAt:INVALID_FORMAT'],
    ['updatedAt of 1969', { updatedAt: '1969-12-31T23:59:59Z' }, 'updatedAt:INVALID_FORMAT'],
    ['updatedAt on a day that is none', { updatedAt: '2026-02-30T00:00:00Z' }, 'updatedAt:INVALID_FORMAT'],
    ['createdAt null', { createdAt: null }, 'createdAt:WRONG_TYPE'],
    ['createdAt of no form', { createdAt: '' }, 'createdAt:INVALID_FORMAT'],
    ['a number as deletedAt', { deletedAt: 0 }, 'deletedAt:WRONG_TYPE'],
    ['true as deletedAt', { deletedAt: true }, 'deletedAt:WRONG_TYPE'],
    ['deletedAt of no form', { deletedAt: 'now' }, 'deletedAt:INVALID_FORMAT'],
    ['an unknown field', { version: 1 }, 'version:UNKNOWN_FIELD'],
    ['another user', { userId: NOWHERE }, 'userId:UNKNOWN_FIELD'],
    ['syncStatus', { syncStatus: 'synced' }, 'syncStatus:UNKNOWN_FIELD'],
    ['a malformed id', { id: 'x' }, 'id:INVALID_FORMAT'],
    ['an id in braces', { id: `{${NOWHERE}}` }, 'id:INVALID_FORMAT'],
    ['no id', { id: undefined }, 'id:MISSING_FIELD'],
    ['id null', { id: null }, 'id:WRONG_TYPE'],
    ['id 5', { id: 5 }, 'id:WRONG_TYPE'],
    ['id true', { id: true }, 'id:WRONG_TYPE'],
    ['an object as id', { id: { a: 1 } }, 'id:WRONG_TYPE'],
    ['a list as id', { id: [NOWHERE] }, 'id:WRONG_TYPE'],
  ];
  const kinds = {
    notes: [
      ...common,
      ['clientUpdatedAt of no form', { clientUpdatedAt: '1' }, 'clientUpdatedAt:INVALID_FORMAT'],
      ['clientUpdatedAt null', { clientUpdatedAt: null }],
      ['title null', { title: null }, 'title:WRONG_TYPE'],
      ['a title of 501', { title: '\u{1f600}'.repeat(501) }, 'title:TOO_LONG'],
      ['a title of 500 and space', { title: ` ${'\u{1f600}'.repeat(500)}\n` }],
      ['a control character in the title', { title: 'a\u0007b' }, 'title:INVALID_VALUE|title:INVALID_FORMAT'],
      ['a number as content', { content: 1 }, 'content:WRONG_TYPE'],
      ['content of a byte too many', { content: `${'x'.repeat(LARGEST - 1)}\u00e4` }, 'content:TOO_LONG'],
      ['content of as many bytes as may be', { content: `${'x'.repeat(LARGEST - 2)}\u00e4` }],
      ['a control character in content', { content: 'a\u0001' }, 'content:INVALID_VALUE|content:INVALID_FORMAT'],
      ['content null', { content: null }],
      ['a malformed folderId', { folderId: 'x' }, 'folderId:INVALID_FORMAT'],
      ['folderId null', { folderId: null }],
      ['a text as tags', { tags: 'x' }, 'tags:WRONG_TYPE'],
      ['tags null', { tags: null }, 'tags:WRONG_TYPE'],
      ['an empty tag', { tags: ['a', ' '] }, 'tags[1]:TOO_SHORT'],
      ['a tag of 51', { tags: ['a', 'b', 'c'.repeat(51)] }, 'tags[2]:TOO_LONG'],
      ['a number as tag', { tags: [1] }, 'tags[0]:WRONG_TYPE'],
      ['null as tag', { tags: [null] }, 'tags[0]:WRONG_TYPE'],
      ['51 tags', { tags: times(51, String) }, 'tags:TOO_MANY'],
      ['50 tags of 50', { tags: times(50, (n) => `${n}`.padStart(50, '\u00e4')) }],
      ['isPinned null', { isPinned: null }, 'isPinned:WRONG_TYPE'],
      ['isPinned 1', { isPinned: 1 }, 'isPinned:WRONG_TYPE'],
      ['isFavorite "true"', { isFavorite: 'true' }, 'isFavorite:WRONG_TYPE'],
      ['contentPlain', { contentPlain: 'x' }, 'contentPlain:UNKNOWN_FIELD'],
      ['a field of folders', { name: 'x' }, 'name:UNKNOWN_FIELD'],
      [
        'several at once',
        { title: 1, tags: ['', 2], what: 1, baseVersion: -1, id: undefined },
        'title:WRONG_TYPE tags[0]:TOO_SHORT tags[1]:WRONG_TYPE what:UNKNOWN_FIELD baseVersion:TOO_SMALL id:MISSING_FIELD',
      ],
    ],
    folders: [
      ...common,
      ['no name', { name: undefined }, 'name:MISSING_FIELD'],
      ['name null', { name: null }, 'name:WRONG_TYPE'],
      ['an empty name', { name: '' }, 'name:TOO_SHORT'],
      ['a blank name', { name: ' \u2003\t' }, 'name:TOO_SHORT'],
      ['a name of 256', { name: '\u{1f600}'.repeat(256) }, 'name:TOO_LONG'],
      ['a name of 255', { name: '\u{1f600}'.repeat(255) }],
      ['a color by name', { color: 'red' }, 'color:INVALID_FORMAT'],
      ['a short color', { color: '#fff' }, 'color:INVALID_FORMAT'],
      ['a color with g', { color: '#12345g' }, 'color:INVALID_FORMAT'],
      ['color null', { color: null }],
      ['an empty icon', { icon: '' }, 'icon:TOO_SHORT'],
      ['an icon of 51', { icon: 'x'.repeat(51) }, 'icon:TOO_LONG'],
      ['icon null', { icon: null }],
      ['position -1', { position: -1 }, 'position:TOO_SMALL'],
      ['position 1000001', { position: 1000001 }, 'position:TOO_LARGE'],
      ['position "1"', { position: '1' }, 'position:WRONG_TYPE'],
      ['position null', { position: null }, 'position:WRONG_TYPE'],
      ['position 1000000', { position: 1000000 }],
      ['noteCount', { noteCount: 0 }, 'noteCount:UNKNOWN_FIELD'],
      ['a field of notes', { title: 'x' }, 'title:UNKNOWN_FIELD'],
      ['several at once', { name: '', color: 1, x: 1 }, 'name:TOO_SHORT color:WRONG_TYPE x:UNKNOWN_FIELD'],
    ],
  };
  for (const [kind, cases] of Object.entries(kinds)) {
    const make = kind === 'notes' ? note : folder;
    describe(`faults of one of the ${kind}`, () => {
      let user;
      for (const [name, fields, expected] of cases) {
        it(`${name}: ${expected ? 'rejected' : 'applied'}, those around it applied`, async () => {
          user ??= await s.user();
          const item = make(fields);
          const sent = [make(), item, make()];
          const done = sane(await push(user, { [kind]: sent }));
          const [first, it_, last] = done[kind];
          assert.deepEqual([first.status, last.status], ['applied', 'applied']);
          assert.deepEqual([first.id, last.id], [sent[0].id, sent[2].id], 'in order');
          assert.deepEqual(it_.id, item.id === undefined || typeof item.id === 'object' ? null : item.id, 'echoed');
          if (!expected) assert.equal(verdict(it_), 'applied');
          else assert.ok(expected.split('|').some((text) => verdict(it_) === `rejected VALIDATION_ERROR ${text}`), verdict(it_));
        });
      }

      it('items that are no objects', async () => {
        const good = make();
        const sent = [null, 1, 'x', true, [], [{}], good, -0.5];
        const done = sane(await push(user, { [kind]: sent }));
        for (const [n, r] of done[kind].entries()) {
          if (sent[n] === good) assert.equal(verdict(r), 'applied');
          else assert.deepEqual([verdict(r), r.id], ['rejected VALIDATION_ERROR null:WRONG_TYPE', null]);
        }
      });

      it('an object without anything', async () => {
        assert.match(verdict((await push(user, { [kind]: [{}] }))[kind][0]), /^rejected VALIDATION_ERROR id:MISSING_FIELD/);
      });

      it('an id that stands twice: the later one, also in other letters, also when the first is bad', async () => {
        const [a, b] = [make({ id: 'abcdef00-0000-4000-8000-' + uuid().slice(-12) }), make()];
        const sent = [a, { ...make(), id: a.id.toUpperCase() }, b, { ...make(), id: a.id }, { ...make(), id: b.id }];
        const done = sane(await push(user, { [kind]: sent }));
        const twice = 'rejected VALIDATION_ERROR id:DUPLICATE';
        assert.deepEqual(done[kind].map(verdict), ['applied', twice, 'applied', twice, twice]);
        assert.deepEqual(done[kind].map((r) => r.id), sent.map((item) => item.id), 'echoed as it was sent');
        const c = make();
        const again = await push(user, { [kind]: [{ ...c, nope: 1 }, c] });
        assert.deepEqual(again[kind].map(verdict), ['rejected VALIDATION_ERROR nope:UNKNOWN_FIELD', twice]);
        const upper = make();
        const [r] = (await push(user, { [kind]: [{ ...upper, id: upper.id.toUpperCase() }] }))[kind];
        assert.deepEqual([r.id, r.item.id], [upper.id.toUpperCase(), upper.id]);
      });
    });
  }

  it('a note and a folder may have the same id', async () => {
    const user = await s.user();
    const id = uuid();
    const done = sane(await push(user, { notes: [note({ id, folderId: id })], folders: [folder({ id })] }));
    assert.deepEqual([verdict(done.notes[0]), verdict(done.folders[0])], ['applied', 'applied']);
    assert.equal(done.notes[0].item.folderId, id);
  });

  it('numbers are taken as they are written: 1.0 and 1e0 are no integers', async () => {
    const user = await s.user();
    for (const number of ['1.0', '1e0', '1E2', '-0']) {
      const body = `{"deviceId":"a","notes":[{"id":"${uuid()}","baseVersion":${number}}]}`;
      const [r] = ok(await user.api('POST', '/sync/push', { body })).notes;
      if (number !== '-0') assert.equal(verdict(r), 'rejected VALIDATION_ERROR baseVersion:WRONG_TYPE', number);
    }
  });

  it('in each place of fifty a bad one does not hurt the others', async () => {
    const [user, other] = await s.users(2);
    const foreign = uuid();
    await pushNotes(other, [note({ id: foreign })]);
    const own = uuid();
    await pushNotes(user, [note({ id: own, title: 'own' })]);
    const bad = [
      [() => note({ title: 5 }), 'rejected VALIDATION_ERROR title:WRONG_TYPE'],
      [() => note({ folderId: NOWHERE }), 'rejected FOLDER_NOT_FOUND'],
      [() => note({ id: foreign }), 'rejected CONFLICT'],
      [() => note({ baseVersion: 3 }), 'rejected NOTE_NOT_FOUND'],
      [() => note({ id: own, baseVersion: 9 }), 'rejected VALIDATION_ERROR baseVersion:TOO_LARGE'],
      [() => note({ id: own, baseVersion: 0 }), 'conflict'],
      [() => note({ deletedAt: '2026-01-01T00:00:00Z' }), 'applied'],
    ];
    for (let place = 0; place < 50; place += 1) {
      const [make, expected] = bad[place % bad.length];
      const sent = times(50, (n) => (n === place ? make() : note({ title: `${place} ${n}`, content: `text ${n}` })));
      const done = sane(await push(user, { notes: sent, deviceId: `d${place % 3}` }));
      for (const [n, r] of done.notes.entries()) {
        assert.equal(r.id, sent[n].id);
        assert.equal(verdict(r), n === place ? expected : 'applied', `place ${place}, ${n}`);
        if (n !== place) assert.deepEqual([r.item.title, r.item.contentPlain], [sent[n].title, sent[n].content]);
      }
    }
    const all = await s.sql('SELECT count(*) AS n FROM notes WHERE user_id = $1', [user.user.id]);
    assert.equal(all[0].n, 50 * 49 + 1);
    await sound(s, user);
  });

  it('500 notes and 500 folders, half of them bad, each with its own answer', async () => {
    const user = await s.user();
    const folders = times(500, (n) => (n % 2 ? folder({ position: n }) : folder({ position: 'x' })));
    const notes = times(500, (n) => (n % 3 ? note({ title: `${n}`, folderId: folders[n].id }) : null));
    const done = sane(await push(user, { notes, folders }));
    for (const [n, r] of done.folders.entries()) {
      assert.equal(verdict(r), n % 2 ? 'applied' : 'rejected VALIDATION_ERROR position:WRONG_TYPE');
      if (n % 2) assert.equal(r.item.position, n);
    }
    for (const [n, r] of done.notes.entries()) {
      const last = n % 2 ? 'applied' : 'rejected FOLDER_NOT_FOUND';
      assert.equal(verdict(r), n % 3 ? last : 'rejected VALIDATION_ERROR null:WRONG_TYPE');
      if (r.item) assert.deepEqual([r.item.title, r.item.folderId], [`${n}`, folders[n].id]);
    }
    await sound(s, user);
  });

  it("another user's objects can be neither read, written nor told from each other", async () => {
    const [alice, eve] = await s.users(2);
    const [live, trashed, gone] = [note({ content: 'secret' }), note({ content: 'secret' }), note({ content: 'secret' })];
    const [f, g] = [folder(), folder()];
    await push(alice, { notes: [live, trashed, gone], folders: [f, g] });
    ok(await alice.del(`/notes/${trashed.id}`));
    ok(await alice.del(`/notes/${gone.id}?permanent=true`));
    ok(await alice.del(`/folders/${g.id}`));
    const before = await pull(alice);
    const tries = [
      {},
      { title: 'mine' },
      { baseVersion: 0 },
      { baseVersion: 1 },
      { baseVersion: 9 },
      { updatedAt: '2100-01-01T00:00:00Z' },
      { deletedAt: '2026-01-01T00:00:00Z' },
      { deletedAt: null },
      { folderId: f.id },
    ];
    for (const fields of tries) {
      const notes = [live, trashed, gone].map(({ id }) => ({ id, ...fields }));
      const { title, folderId, ...rest } = fields;
      const folders = [f, g].map(({ id }) => ({ id, name: 'x', ...rest }));
      const done = sane(await push(eve, { notes, folders }));
      const errors = [...done.notes, ...done.folders].map((r) => JSON.stringify([r.status, r.version, r.error]));
      assert.equal(new Set(errors).size, 1, 'one as the other');
      assert.equal(verdict(done.notes[0]), 'rejected CONFLICT');
    }
    const into = [f.id, g.id, NOWHERE].map((folderId) => note({ folderId }));
    const answers = (await pushNotes(eve, into)).map((r) => JSON.stringify([r.status, r.version, r.error]));
    assert.equal(new Set(answers).size, 1, 'a foreign folder is none');
    const mine = note();
    await pushNotes(eve, [mine]);
    const [moved] = await pushNotes(eve, [{ id: mine.id, baseVersion: 1, folderId: f.id }]);
    assert.equal(verdict(moved), 'rejected FOLDER_NOT_FOUND');
    assert.deepEqual((await pull(eve)).notes.map((item) => [item.id, item.folderId]), [[mine.id, null]]);
    const after = await pull(alice);
    assert.deepEqual([after.notes, after.folders, after.cursor], [before.notes, before.folders, before.cursor]);
    assert.deepEqual(await s.sql('SELECT 1 FROM sync_conflicts WHERE user_id = $1', [eve.user.id]), []);
  });

  it('answers of many bytes are whole: 20 notes of 2 MB are marked in one push', async () => {
    const user = await s.user();
    const notes = times(20, (n) => note({ title: `${n}`, content: `${n} `.repeat(LARGEST / 4).slice(0, LARGEST) }));
    for (let n = 0; n < 20; n += 4) await pushNotes(user, notes.slice(n, n + 4));
    const marks = notes.map(({ id }) => ({ id, baseVersion: 1, isPinned: true }));
    const done = sane(await push(user, { notes: marks }));
    for (const [n, r] of done.notes.entries()) {
      assert.deepEqual([r.status, r.version, r.item.isPinned, r.item.title], ['applied', 2, true, `${n}`]);
      assert.ok(r.item.content === notes[n].content && r.item.contentPlain === notes[n].content.trim(), `${n} is whole`);
    }
    const again = sane(await push(user, { notes: marks.map((mark) => ({ ...mark, title: 'quarrel', isPinned: false })) }));
    for (const [n, conflict] of again.conflicts.entries()) {
      assert.equal(conflict.id, notes[n].id);
      assert.ok(conflict.serverVersion.content === notes[n].content, `${n} is whole in the conflict`);
    }
    const rows = await s.sql('SELECT DISTINCT is_text, content FROM note_versions WHERE user_id = $1', [user.user.id]);
    assert.deepEqual(rows, [{ is_text: false, content: null }], 'a mark copies no text into the history');
  });

  it('a body of 10 MB', async () => {
    const user = await s.user();
    const item = (n, size) => note({ title: `${n}`, content: 'a "b" \\ \n'.repeat(size / 9) });
    const notes = times(499, (n) => item(n, 13500));
    const size = (more) => Buffer.byteLength(JSON.stringify({ deviceId: 'one', notes: [...notes, more] }));
    const last = note({ content: '' });
    last.content = 'x'.repeat(Math.min(LARGEST, 10485760 - size(last)));
    assert.ok(size(last) > 9e6 && size(last) <= 10485760, `${size(last)} bytes`);
    const done = sane(await push(user, { notes: [...notes, last] }));
    assert.equal(done.summary.applied, 500);
    for (const [n, r] of done.notes.slice(0, 499).entries()) assert.ok(r.item.content === notes[n].content);
    assert.equal((await noteRow(s, last.id)).content.length, last.content.length);
    assert.deepEqual(ids((await pull(user, { limit: 1 })).notes), []);
  });
});
