/* Profile, settings and sessions of the caller (API.md section 4). */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { before, it } from 'node:test';
import { serverSuite } from './lib/server.mjs';
import { jwtClaims, login } from './lib/accounts.mjs';
import { TIMESTAMP } from './lib/contract.mjs';
import { fails, ids, invalid, NOWHERE, ok } from './lib/expect.mjs';

serverSuite('User', {}, (s) => {
  let alice;
  let bob;
  before(async () => {
    [alice, bob] = await s.users(2);
  });

  const put = (fields) => alice.put('/user/profile', fields);

  it('the profile is changed in part, null clears, and aliases name their successor', async () => {
    const start = ok(await alice.get('/user/profile'));
    const first = ok(await put({ fullName: '  Ann 😀 ', avatarUrl: 'https://example.com/a.png?x=1#y' }));
    assert.deepEqual(first, {
      ...start,
      fullName: 'Ann 😀',
      avatarUrl: 'https://example.com/a.png?x=1#y',
      version: start.version + 1,
      updatedAt: first.updatedAt,
    });
    for (const path of ['/users/profile', '/auth/profile']) {
      const res = await alice.put(path, { fullName: path });
      assert.equal(ok(res).fullName, path);
      assert.equal(res.headers.etag, `"v${res.json.data.version}"`);
      assert.equal(res.headers.deprecation, 'true');
      assert.match(res.headers.link, /^<\/api\/v1\/user\/profile>;\s*rel="successor-version"$/);
    }
    const aliased = await alice.get('/users/profile');
    assert.equal(ok(aliased).fullName, '/auth/profile');
    assert.equal(aliased.headers.deprecation, 'true');
    fails(await alice.get('/auth/profile'), 405, 'METHOD_NOT_ALLOWED');
    const cleared = ok(await alice.patch('/user/profile', { fullName: null, avatarUrl: null }));
    assert.deepEqual([cleared.fullName, cleared.avatarUrl], [null, null]);
    assert.deepEqual(ok(await put({})), cleared);
    assert.deepEqual(ok(await put({ fullName: null })), cleared);
  });

  for (const [what, fields, ...details] of [
    ['an empty name', { fullName: '' }, ['fullName', 'TOO_SHORT']],
    ['a name of 256 code points', { fullName: '😀'.repeat(256) }, ['fullName', 'TOO_LONG']],
    ...[
      'javascript:alert(1)',
      'ftp://example.com/a',
      '//example.com/a',
      '/a.png',
      'example.com',
      'https://',
      'http:/x',
      'https:// x',
      'data:image/png;base64,AAAA',
      '',
    ].map((avatarUrl) => [`the avatar ${JSON.stringify(avatarUrl)}`, { avatarUrl }, ['avatarUrl', null]]),
    [
      'an avatar address of 2049 characters',
      { avatarUrl: `https://example.com/${'x'.repeat(2029)}` },
      ['avatarUrl', 'TOO_LONG'],
    ],
    ...[
      ['email', 'new@example.com'],
      ['role', 'admin'],
      ['isActive', false],
      ['emailVerified', true],
      ['aiTokensUsed', 0],
      ['aiTokensLimit', 1],
      ['subscriptionTier', 'pro'],
      ['version', 1],
      ['id', 'x'],
      ['password', 'x'],
    ].map(([field, value]) => [`the field ${field}`, { [field]: value }, [field, 'UNKNOWN_FIELD']]),
  ]) {
    it(`the profile refuses ${what}`, async () => {
      invalid(await put(fields), ...details);
    });
  }
  it('an avatar address of 2048 characters is accepted', async () => {
    const avatarUrl = `http://example.com/${'x'.repeat(2029)}`;
    assert.equal(ok(await put({ avatarUrl })).avatarUrl, avatarUrl);
  });

  const DEFAULTS = {
    theme: 'system',
    language: 'en',
    timezone: 'UTC',
    emailNotifications: true,
    pushNotifications: true,
    defaultFolderId: null,
    autoSave: true,
    aiEnabled: true,
    aiModel: null,
    notesSortBy: 'updatedAt',
    notesSortOrder: 'desc',
    conflictStrategy: 'manual',
    custom: {},
  };

  it('settings begin with the defaults', async () => {
    const res = await alice.get('/user/settings');
    const { version, updatedAt, ...rest } = ok(res);
    assert.deepEqual(rest, DEFAULTS);
    assert.equal(version, 1);
    assert.match(updatedAt, TIMESTAMP);
    assert.equal(res.headers.etag, '"v1"');
  });

  const accepted = {
    theme: ['light', 'dark', 'system'],
    language: ['de', 'de-CH', 'zh-Hant-TW', 'es-419', 'sl-rozaj-biske'],
    timezone: ['Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/GMT+5', 'UTC'],
    emailNotifications: [false, true],
    pushNotifications: [false, true],
    autoSave: [false, true],
    aiEnabled: [false, true],
    aiModel: ['gpt-4o-mini', 'x'.repeat(50), null],
    notesSortBy: ['createdAt', 'title', 'wordCount', 'updatedAt'],
    notesSortOrder: ['asc', 'desc'],
    conflictStrategy: ['server-wins', 'client-wins', 'merge', 'manual'],
    custom: [
      { a: [1, 2.5, null, true, { '': 'x' }] },
      { big: 123456789012345, small: 1e-7, text: 'é😀\u2028</script>' },
      {},
    ],
  };
  for (const [field, values] of Object.entries(accepted)) {
    it(`settings accept ${field}: ${values
      .map((v) => JSON.stringify(v))
      .join(' ')
      .slice(0, 60)}`, async () => {
      for (const value of values) {
        const old = ok(await alice.get('/user/settings'));
        const got = ok(await alice.put('/user/settings', { [field]: value }));
        assert.deepEqual(got[field], value);
        const changed = JSON.stringify(old[field]) !== JSON.stringify(value);
        assert.equal(got.version, old.version + (changed ? 1 : 0));
        assert.deepEqual(
          { ...got, [field]: 0, version: 0, updatedAt: 0 },
          { ...old, [field]: 0, version: 0, updatedAt: 0 },
        );
        assert.deepEqual(ok(await alice.get('/user/settings')), got);
      }
    });
  }

  const refused = [
    ['theme', ['blue', 'Dark', ''], /^INVALID_VALUE$/],
    ['theme', [null, 1], /^WRONG_TYPE$/],
    ['language', ['x', ''], /^TOO_SHORT$/],
    ['language', ['x'.repeat(36)], /^TOO_LONG$/],
    ['language', ['de_CH', 'de--CH', 'e n', '12', 'de-'], /^INVALID_(FORMAT|VALUE)$/],
    ['timezone', ['Mars/Phobos', 'europe berlin', "UTC'; SELECT 1 --"], /^INVALID_(FORMAT|VALUE)$/],
    ['timezone', ['x'.repeat(65)], /^TOO_LONG$/],
    ['timezone', [''], /^TOO_SHORT$/],
    ['emailNotifications', [null, 0, 'true'], /^WRONG_TYPE$/],
    ['aiModel', [''], /^TOO_SHORT$/],
    ['aiModel', ['x'.repeat(51)], /^TOO_LONG$/],
    ['notesSortBy', ['updated_at'], /^INVALID_VALUE$/],
    ['notesSortOrder', ['ASC'], /^INVALID_VALUE$/],
    ['conflictStrategy', ['auto'], /^INVALID_VALUE$/],
    ['custom', [null, [], 'x', 1], /^WRONG_TYPE$/],
    ['custom', [{ x: 'y'.repeat(8200) }, { x: '😀'.repeat(2050) }], /^TOO_(LONG|LARGE)$/],
    ['defaultFolderId', ['x'], /^INVALID_FORMAT$/],
    ['version', [3], /^UNKNOWN_FIELD$/],
  ];
  for (const [field, values, code] of refused) {
    it(`settings refuse ${field}: ${values
      .map((v) => JSON.stringify(v))
      .join(' ')
      .slice(0, 60)}`, async () => {
      for (const value of values) invalid(await alice.put('/user/settings', { [field]: value }), [field, code]);
    });
  }

  it('custom may hold 8192 bytes and is replaced whole', async () => {
    const custom = { x: 'y'.repeat(8192 - 8) };
    assert.equal(JSON.stringify(custom).length, 8192);
    assert.deepEqual(ok(await alice.put('/user/settings', { custom })).custom, custom);
    assert.deepEqual(ok(await alice.put('/user/settings', { custom: { z: 1 } })).custom, { z: 1 });
  });

  it('the default folder must be an own live one', async () => {
    const folder = async (who) => ok(await who.post('/folders', { name: crypto.randomUUID() }), 201).id;
    const [mine, theirs, gone] = [await folder(alice), await folder(bob), await folder(alice)];
    ok(await alice.del(`/folders/${gone}`));
    for (const defaultFolderId of [theirs, gone, NOWHERE]) {
      fails(await alice.put('/user/settings', { defaultFolderId, theme: 'dark' }), 404, 'FOLDER_NOT_FOUND');
    }
    assert.equal(ok(await alice.get('/user/settings')).defaultFolderId, null);
    assert.equal(ok(await alice.put('/user/settings', { defaultFolderId: mine })).defaultFolderId, mine);
    assert.equal(ok(await alice.put('/user/settings', { defaultFolderId: null })).defaultFolderId, null);
  });

  it('sessions lists the live ones of the caller, latest activity first, with the current one marked', async () => {
    const carol = await s.user({ deviceName: 'first', deviceType: 'web' });
    const agent = `UA/1.0 (${'x'.repeat(40)})`;
    const second = await login(
      s,
      carol,
      { deviceName: 'second', deviceType: 'tablet' },
      s.client({ headers: { 'user-agent': agent } }),
    );
    const third = await login(s, carol);
    ok(await third.post('/auth/logout'));
    const { items, pagination } = ok(await second.get('/user/sessions'));
    assert.deepEqual(items.map((x) => [x.deviceName, x.deviceType, x.current]).sort(), [
      ['first', 'web', false],
      ['second', 'tablet', true],
    ]);
    assert.equal(pagination.total, 2);
    assert.equal(items.find((x) => x.current).id, jwtClaims(second.token).sid);
    assert.equal(items.find((x) => x.current).userAgent, agent);
    for (const item of items) {
      assert.deepEqual(Object.keys(item).sort(), [
        'createdAt',
        'current',
        'deviceName',
        'deviceType',
        'expiresAt',
        'id',
        'ipAddress',
        'kind',
        'lastActiveAt',
        'userAgent',
      ]);
      assert.equal(item.ipAddress, '127.0.0.1');
      assert.equal(item.kind, 'token');
      assert.ok(Math.abs(Date.parse(item.expiresAt) - Date.now() - 2592e6) < 120000);
    }
    await s.sql("UPDATE sessions SET last_active_at = now() - interval '5 minutes' WHERE id = $1", [
      jwtClaims(second.token).sid,
    ]);
    await s.sql('UPDATE sessions SET last_active_at = now() WHERE id = $1', [jwtClaims(carol.token).sid]);
    assert.deepEqual(
      ok(await carol.get('/user/sessions')).items.map((x) => x.deviceName),
      ['first', 'second'],
    );
    await s.sql("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE id = $1", [
      jwtClaims(second.token).sid,
    ]);
    assert.deepEqual(
      ok(await carol.get('/user/sessions')).items.map((x) => x.deviceName),
      ['first'],
    );
  });

  it('a device type that was not given is other', async () => {
    const carol = await s.user();
    assert.deepEqual(
      ok(await carol.get('/user/sessions')).items.map((x) => [x.deviceName, x.deviceType]),
      [[null, 'other']],
    );
  });

  it("deleting a session ends it at once, also the current one; another's is SESSION_NOT_FOUND", async () => {
    const second = await login(s, alice);
    const { sid } = jwtClaims(second.token);
    ok(await second.get('/auth/me'));
    fails(await bob.del(`/user/sessions/${sid}`), 404, 'SESSION_NOT_FOUND');
    ok(await second.get('/auth/me'));
    assert.deepEqual(ok(await alice.del(`/user/sessions/${sid}`)), { id: sid });
    fails(await second.get('/auth/me'), 401, 'INVALID_TOKEN');
    fails(await s.anon.post('/auth/refresh', { refreshToken: second.refreshToken }), 401, 'INVALID_TOKEN');
    fails(await alice.del(`/user/sessions/${sid}`), 404, 'SESSION_NOT_FOUND');
    fails(await alice.del(`/user/sessions/${NOWHERE}`), 404, 'SESSION_NOT_FOUND');
    invalid(await alice.del('/user/sessions/current'), ['id', 'INVALID_FORMAT']);
    const third = await login(s, alice);
    const own = jwtClaims(third.token).sid;
    assert.deepEqual(ok(await third.del(`/user/sessions/${own}`)), { id: own });
    fails(await third.get('/auth/me'), 401, 'INVALID_TOKEN');
    assert.ok(!ids(ok(await alice.get('/user/sessions?limit=100')).items).includes(own));
  });

  for (const [method, path] of [
    ['GET', '/user/profile'],
    ['PUT', '/user/profile'],
    ['GET', '/user/settings'],
    ['PATCH', '/user/settings'],
    ['GET', '/user/sessions'],
    ['DELETE', `/user/sessions/${NOWHERE}`],
    ['GET', '/auth/me'],
    ['GET', '/folders'],
    ['POST', '/folders'],
    ['GET', '/notes'],
    ['POST', '/notes'],
    ['DELETE', `/notes/${NOWHERE}`],
  ]) {
    it(`${method} ${path.replace(NOWHERE, '{id}')} needs a caller`, async () => {
      fails(await s.anon.api(method, path), 401, 'AUTHENTICATION_REQUIRED');
    });
  }
});
