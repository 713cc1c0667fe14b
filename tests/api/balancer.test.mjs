/* Several hosts behind mod_proxy_balancer: no sticky sessions, and a host may come, drain and die. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Server } from './lib/server.mjs';
import { Client } from './lib/client.mjs';
import { newUser } from './lib/accounts.mjs';
import { sleep, until } from './lib/env.mjs';
import { ok, parallel, tally } from './lib/expect.mjs';

describe('Two hosts behind a balancer', () => {
  const hosts = [new Server(), new Server()];
  let front;
  before(async () => {
    await hosts[0].start();
    /* stateless: the same secrets and the same database are all that hosts share */
    Object.assign(hosts[1], { database: hosts[0].database, secrets: hosts[0].secrets });
    await hosts[1].start();
    front = new Server({
      chronicle: false,
      load: false,
      db: false,
      ready: false,
      modules: ['proxy', 'proxy_http', 'proxy_balancer', 'lbmethod_byrequests', 'proxy_hcheck'],
      head: [
        '<Proxy "balancer://chronicle">',
        ...hosts.map(
          (host) =>
            `BalancerMember "${host.origin}" hcmethod=GET hcuri=/health/ready hcinterval=100ms hcfails=1 hcpasses=1 retry=1`,
        ),
        '</Proxy>',
        'ProxyPass "/" "balancer://chronicle/"',
        'ProxyPassReverse "/" "balancer://chronicle/"',
        'ProxyHCTPsize 2',
      ],
    });
    front.expectLog(/proxy|AH\d+/);
    await front.start();
  });
  after(async () => {
    await front.stop();
    for (const host of hosts) if (!host.gone) await host.stop();
  });

  const served = (host) => host.accessLog().split('\n').filter((line) => line.includes('/api/v1/')).length;
  const through = () => new Client(front, {});

  it('a login at one host holds at the other, and both share the work', async () => {
    const alice = await newUser(front);
    ok(await alice.post('/notes', { title: 'x' }), 201);
    const before = hosts.map(served);
    const all = await parallel(40, (n) => (n % 2 ? alice.get('/notes') : alice.post('/notes', {})));
    assert.deepEqual(tally(all.map((res) => res.status)), { 200: 20, 201: 20 });
    await until(() => hosts.every((host, n) => served(host) - before[n] >= 10), 5000, 'both answer');
  });

  it('a host that is restarted or stopped gracefully costs no request; one that dies, few', async (t) => {
    const alice = await newUser(front);
    const answers = [];
    let running = true;
    const load = parallel(6, async (n) => {
      while (running) answers.push((await (n % 2 ? alice.get('/notes') : alice.post('/notes', {}))).status);
    });
    const more = async (n) => {
      const target = answers.length + n;
      await until(() => answers.length >= target, 10000, 'the load goes on');
    };
    await more(50);
    hosts[0].signal('SIGUSR1');
    await more(50);
    hosts[1].signal('SIGWINCH'); /* graceful-stop */
    await hosts[1].exited;
    hosts[1].gone = true;
    await more(100);
    assert.deepEqual(Object.keys(tally(answers)).sort(), ['200', '201']);
    /* a new host is added by its coming up: the health check finds it */
    const added = new Server({ database: hosts[0].database, secrets: hosts[0].secrets });
    await added.prepare();
    added.port = hosts[1].port;
    added.writeConf();
    await added.start();
    await until(() => served(added) > 10, 10000, 'the new host gets work');
    const clean = answers.length;
    for (const pid of added.processes()) process.kill(pid, 'SIGKILL');
    added.child.kill('SIGKILL');
    await added.exited;
    await sleep(300);
    const mark = answers.length;
    await more(100);
    running = false;
    await load;
    const lost = answers.slice(clean).filter((status) => status >= 500).length;
    assert.ok(lost <= 12, `${lost} requests were lost`);
    assert.deepEqual(
      answers.slice(mark + 6).filter((status) => status >= 500),
      [],
      'nothing is sent to a dead host',
    );
    t.diagnostic(`${answers.length} requests, ${lost} lost when a host was killed`);
    assert.equal((await through().at('GET', '/health/ready')).status, 200);
  });
});
