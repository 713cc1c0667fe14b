/* What judges sync under load: every change as the database saw it, troubles inside its transactions, readers that
   note what they were told, and the rules that bind the two together. */
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { sleep } from './env.mjs';

export const pick = (list) => list[crypto.randomInt(list.length)];
export const chance = (share) => Math.random() < share;

/* wire() is an object as sync shows it; heard has it after each change, with the number, the transaction and the
   time of the clock, which is the test's own as well. */
const AUDIT = `
CREATE FUNCTION told(t timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;
CREATE FUNCTION wire(n notes) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', n.id, 'folderId', n.folder_id, 'title', n.title, 'content', n.content,
        'contentPlain', n.content_plain, 'wordCount', n.word_count, 'isPinned', n.is_pinned,
        'isFavorite', n.is_favorite, 'tags', n.tags, 'version', n.version,
        'clientUpdatedAt', told(n.client_updated_at), 'createdAt', told(n.created_at),
        'updatedAt', told(n.updated_at), 'deletedAt', told(n.deleted_at)) $$;
CREATE FUNCTION wire(f folders) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('id', f.id, 'name', f.name, 'color', f.color, 'icon', f.icon, 'position', f.position,
        'version', f.version, 'createdAt', told(f.created_at), 'updatedAt', told(f.updated_at),
        'deletedAt', told(f.deleted_at)) $$;
CREATE TABLE heard (user_id uuid, seq bigint, id uuid, version integer, txid text, at double precision,
    item jsonb);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' OR NEW.change_seq <> OLD.change_seq OR wire(NEW) <> wire(OLD) THEN
        INSERT INTO heard VALUES (NEW.user_id, NEW.change_seq, NEW.id, NEW.version, pg_current_xact_id()::text,
            extract(epoch FROM clock_timestamp()) * 1000, wire(NEW));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER hear AFTER INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION hear();
CREATE TRIGGER hear AFTER INSERT OR UPDATE ON folders FOR EACH ROW EXECUTE FUNCTION hear();
INSERT INTO heard SELECT user_id, change_seq, id, version, '0', 0, wire(notes) FROM notes;
INSERT INTO heard SELECT user_id, change_seq, id, version, '0', 0, wire(folders) FROM folders;`;

/* Waits, failures and broken connections, under the user's lock and at the commit. Rows of notes and folders come by
   the dozen, so each is disturbed less than the one of the user. */
const TROUBLE = `
CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    dice float := random() / CASE WHEN TG_ARGV[0] = 'row' THEN 0.1 ELSE 1 END;
BEGIN
    IF random() < 0.5 THEN PERFORM pg_sleep(0.008 * random()); END IF;
    IF dice < 0.010 THEN RAISE EXCEPTION 'trouble' USING errcode = '53200';
    ELSIF dice < 0.030 THEN RAISE EXCEPTION 'trouble' USING errcode = '40001';
    ELSIF dice < 0.033 THEN PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER trouble BEFORE UPDATE OF change_seq ON users FOR EACH ROW EXECUTE FUNCTION trouble('user');
CREATE TRIGGER trouble BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION trouble('row');
CREATE TRIGGER trouble BEFORE INSERT OR UPDATE ON folders FOR EACH ROW EXECUTE FUNCTION trouble('row');
CREATE CONSTRAINT TRIGGER late_trouble AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION trouble('user');`;

const PEACE = `
DROP TRIGGER trouble ON users; DROP TRIGGER late_trouble ON users;
DROP TRIGGER trouble ON notes; DROP TRIGGER trouble ON folders;`;

export const listen = (s) => s.sql(AUDIT);
export const trouble = (s) => s.sql(TROUBLE);
export const peace = (s) => s.sql(PEACE);

/** Takes a note's lock, then the user's, which is the wrong way round: whoever writes that note meets a deadlock. */
export async function deadlocks(s, userId, running) {
  while (running()) {
    try {
      const session = await s.session();
      for (; running(); await sleep(100)) {
        await session.query('BEGIN');
        await session.query('SELECT 1 FROM notes WHERE user_id = $1 ORDER BY random() LIMIT 1 FOR UPDATE', [userId]);
        await sleep(20);
        await session.query('SELECT 1 FROM users WHERE id = $1 FOR UPDATE', [userId]);
        await session.query('COMMIT');
      }
      await session.end();
    } catch {
      await sleep(100); /* the database is away, or it was this one's turn to give way */
    }
  }
}

/** The number in a cursor: behind a MAC of 16 bytes and a length. */
export function numberOf(cursor) {
  const bytes = Buffer.from(cursor, 'base64url');
  return Number(bytes.toString('latin1', 18, 17 + bytes.readUInt16BE(16)));
}

const bare = ({ syncStatus, folder, noteCount, ...item }) => item; /* what a version covers */

/** A device that pulls, and keeps everything that it was told. */
export class Reader {
  /** how: 'cursor', 'time' (lastSyncAt alone) or 'push' (its cursor is also that of its own pushes). */
  constructor(user, how) {
    Object.assign(this, { user, how, deviceId: `${how} ${crypto.randomUUID()}`, told: [], cursor: null, since: null });
    this.lost = false;
  }

  place() {
    return this.how === 'time' ? { lastSyncAt: this.since } : { cursor: this.cursor };
  }

  take({ cursor, syncedAt }, news) {
    this.cursor = cursor;
    this.since = syncedAt;
    this.told.push({ number: cursor ? numberOf(cursor) : 0, received: Date.now(), ...news });
  }

  /** One page; true when there is no more. careless: the answer may get lost. */
  async pull(limit, careless = 0) {
    const sent = Date.now();
    const res = await this.user.post('/sync/pull', { deviceId: this.deviceId, limit, ...this.place() });
    this.lost = res.status === 503 || chance(careless);
    if (this.lost) return false;
    assert.equal(res.status, 200, res.text);
    const { notes, folders, hasMore } = res.json.data;
    const items = [...notes, ...folders];
    assert.ok(items.length <= limit, `${items.length} items for a limit of ${limit}`);
    this.take(res.json.data, { what: hasMore ? 'page' : 'end', sent, items, kinds: [notes, folders] });
    return !hasMore;
  }

  /**
   * What it pushed itself, and the place where it then is. The server takes a pull for answered; whoever lost the
   * answer stays where he was.
   */
  pushed(data) {
    const items = [...data.notes, ...data.folders].map((r) => r.item).filter(Boolean);
    const { cursor, since: syncedAt } = this;
    this.take(this.lost ? { cursor, syncedAt } : data, { what: 'push', items, kinds: [] });
  }
}

/** Everything that was heard of a user, ready for questions. */
export class History {
  static async of(s, userId) {
    const rows = await s.sql('SELECT * FROM heard WHERE user_id = $1 ORDER BY seq', [userId]);
    const self = new History();
    self.rows = rows;
    self.byId = new Map();
    for (const row of rows) self.byId.set(row.id, [...(self.byId.get(row.id) ?? []), row]);
    return self;
  }

  at(id, version) {
    return this.byId.get(id)?.find((row) => row.version === version);
  }

  /** Numbers are given once, times have their order, versions are steps of one. */
  checkOrder() {
    this.rows.forEach((row, k) => {
      const last = this.rows[k - 1];
      if (!last) return;
      assert.ok(row.seq > last.seq, `number ${row.seq} was given twice`);
      assert.ok(row.item.updatedAt > last.item.updatedAt, `${row.seq} is not later than ${last.seq}`);
    });
    for (const [id, rows] of this.byId) {
      assert.deepEqual(
        rows.map((row) => row.version),
        rows.map((_, k) => k + 1),
        `versions of ${id} in the order of their numbers`,
      );
    }
  }

  /** The item, as somebody was told it, is what the database had. */
  find(item, who) {
    const row = this.at(item.id, item.version);
    assert.ok(row, `${who}: version ${item.version} of ${item.id} was told, and is not in the history`);
    const told = bare(item);
    const known = Object.fromEntries(Object.keys(told).map((key) => [key, row.item[key]]));
    assert.deepEqual(told, known, `${who}: version ${item.version} of ${item.id}`);
    return row;
  }

  /** The highest number that can have been seen at this time of the clock. */
  numberAt(time) {
    return this.rows.reduce((max, row) => (row.at <= time ? Math.max(max, row.seq) : max), 0);
  }

  /**
   * What a reader has after each thing it was told. A page holds what lies between two places, in order. At the end
   * of a pull its state is the history up to its place, no more and no less. In between, and after a push, an object
   * that changes behind the place while the reader is on its way may be missing: it comes later. All others are there.
   */
  checkReader(reader) {
    const state = new Map();
    let place = 0;
    for (const news of reader.told) {
      const who = `${reader.deviceId}, ${news.what} to ${news.number}`;
      const rows = new Map(news.items.map((item) => [item, this.find(item, who)]));
      for (const kind of news.kinds) {
        kind.reduce((last, item) => {
          const { seq } = rows.get(item);
          assert.ok(seq > last && seq <= news.number, `${who}: ${seq} behind ${last}`);
          return seq;
        }, place);
      }
      for (const item of news.items) {
        if (item.version >= (state.get(item.id)?.version ?? 0)) state.set(item.id, item);
      }
      this.checkState(reader, news, state, who);
      place = news.number;
    }
    return state;
  }

  checkState(reader, news, state, who) {
    const seen = news.what === 'end' ? news.number : this.numberAt(news.received);
    for (const [id, rows] of this.byId) {
      const due = rows.findLast((row) => row.seq <= news.number);
      const moved = rows.some((row) => row.seq > news.number && row.seq <= seen);
      const has = state.get(id)?.version ?? 0;
      if (due && !moved) assert.ok(has >= due.version, `${who}: has ${id} at ${has}, not ${due.version} of ${due.seq}`);
      if (reader.how !== 'push' && has) {
        assert.ok(this.at(id, has).seq <= news.number, `${who}: ${id} at ${has} is from behind its place`);
      }
    }
  }

  /** Who asks after a write was acknowledged is told of it. */
  checkFresh(reader, acks) {
    for (const news of reader.told.filter(({ what }) => what === 'end')) {
      for (const ack of acks.filter(({ when, row }) => row && when < news.sent)) {
        assert.ok(ack.row.seq <= news.number, `${reader.deviceId}: ${ack.row.seq} was there before ${news.number}`);
      }
    }
  }

  /** What was acknowledged: {what, when, item} with the fields that the answer had. */
  checkAcks(acks) {
    for (const ack of acks) ack.row = this.find(ack.item, ack.what);
  }

  /** What was new in one group of a push came in one transaction, or not at all. */
  checkWhole(groups) {
    for (const { ids, acknowledged } of groups) {
      const born = ids.map((id) => this.at(id, 1)).filter(Boolean);
      if (acknowledged) assert.equal(born.length, ids.length);
      assert.ok(born.length === 0 || born.length === ids.length, `${born.length} of ${ids.length} were made`);
      assert.ok(new Set(born.map((row) => row.txid)).size <= 1, 'in one transaction');
    }
  }
}

/** The user's notes and folders as they are. */
export async function table(s, userId) {
  const rows = await s.sql(
    `SELECT wire(n) AS item FROM notes n WHERE user_id = $1
     UNION ALL SELECT wire(f) FROM folders f WHERE user_id = $1`,
    [userId],
  );
  return new Map(rows.map(({ item }) => [item.id, item]));
}

export const bareState = (state) => new Map([...state].map(([id, item]) => [id, bare(item)]));
