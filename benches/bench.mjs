// Start-up time, idle memory, settings page under load, connect flows, first load. One release
// server and one sandbox EHR on this machine, SQLite, and the load beside them: figures are for
// comparing two commits on one machine.
import { execFileSync, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const root = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '..');
const program = path.join(root, 'target/release/ehr-integrations');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ehr-bench-'));
const freePort = () => new Promise((resolve) => {
  const server = net.createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)); });
});
const [appPort, ehrPort] = [await freePort(), await freePort()];
const app = `http://127.0.0.1:${appPort}`;
const ehr = `http://127.0.0.1:${ehrPort}`;
const keys = Object.fromEntries(execFileSync(program, ['keys', 'generate'], { encoding: 'utf8' }).trim().split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
const env = { ...keys, PATH: process.env.PATH, RUST_LOG: 'warn', APP_BASE_URL: app, DATABASE_URL: `sqlite://${folder}/bench.db`, LEPTOS_SITE_ADDR: `127.0.0.1:${appPort}`, SANDBOX_ADDR: `127.0.0.1:${ehrPort}`, EHR_ALLOW_PRIVATE_NETWORK: '1', LEPTOS_SITE_ROOT: path.join(root, 'target/site') };
const run = (args, input = '') => execFileSync(program, args, { env, input, encoding: 'utf8' }).trim();
const rows = [];
const row = (what, figure) => rows.push([what, figure]);

async function start(command, url) {
  const began = performance.now();
  const child = spawn(program, [command], { env, stdio: 'ignore' });
  for (;;) {
    if (await fetch(url).then((answer) => answer.ok, () => false)) return { child, ms: performance.now() - began };
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const cookies = (answer) => answer.headers.getSetCookie().map((cookie) => cookie.split(';')[0]);
const location = (answer) => { const to = answer.headers.get('location'); if (!to) throw new Error(`no redirect: ${answer.status}`); return to; };
const field = (html, name) => new RegExp(`name="${name}"[^>]*value="([^"]*)"|value="([^"]*)"[^>]*name="${name}"`).exec(html)?.slice(1).find(Boolean);
const form = (values) => ({ method: 'POST', redirect: 'manual', body: new URLSearchParams(values) });

/** The whole of a connect, as a browser does it. */
async function connect(cookie) {
  const login = await fetch(`${app}/api/integrations/ehr/login?providerId=generic`, { redirect: 'manual', headers: { cookie, accept: 'text/html' } });
  const flow = cookies(login)[0];
  let page = await (await fetch(location(login))).text();
  let transaction = field(page, 'transaction');
  page = await (await fetch(`${ehr}/auth/sign-in`, form({ transaction, username: 'dr.river', password: 'sandbox' }))).text();
  page = await (await fetch(`${ehr}/auth/patient`, form({ transaction, patient: /name="patient"[^>]*value="([^"]*)"/.exec(page)[1] }))).text();
  const consent = new URLSearchParams({ transaction, decision: 'allow' });
  for (const [, scope] of page.matchAll(/name="scope"[^>]*value="([^"]*)"/g)) consent.append('scope', scope);
  const back = location(await fetch(`${ehr}/auth/consent`, { method: 'POST', redirect: 'manual', body: consent }));
  const began = performance.now();
  const done = location(await fetch(back, { redirect: 'manual', headers: { cookie: `${cookie}; ${flow}`, accept: 'text/html' } }));
  if (!done.includes('notice=connected')) throw new Error(done);
  return performance.now() - began;
}

const quantile = (values, q) => values.sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))];

let children = [];
try {
  const first = await start('serve', `${app}/healthz`);
  first.child.kill(); await new Promise((resolve) => first.child.once('exit', resolve));
  const starts = [];
  for (let i = 0; i < 5; i += 1) {
    const again = await start('serve', `${app}/healthz`);
    starts.push(again.ms);
    if (i < 4) { again.child.kill(); await new Promise((resolve) => again.child.once('exit', resolve)); } else children.push(again.child);
  }
  row('start-up, empty database (migrations)', `${first.ms.toFixed(0)} ms`);
  row('start-up, median of 5', `${quantile(starts, 0.5).toFixed(0)} ms`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const memory = (child) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) / 1024;
  row('memory, idle', `${memory(children[0]).toFixed(1)} MiB`);
  children.push((await start('sandbox', `${ehr}/fhir/metadata`)).child);

  run(['admin', 'create', '--practice', 'Bench', '--email', 'bench@practice.example', '--password-stdin'], 'correct horse battery staple');
  const token = run(['tokens', 'create', '--practice', 'Bench', '--name', 'bench', '--scope', 'all']);
  const saved = await fetch(`${app}/api/integrations/ehr/config`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: JSON.stringify({ enabledProviders: ['generic'], providerConfigs: { generic: { issuer: `${ehr}/fhir`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' } } }) });
  if (!saved.ok) throw new Error(await saved.text());
  const session = cookies(await fetch(`${app}/api/sign_in`, { ...form({ email: 'bench@practice.example', password: 'correct horse battery staple' }), headers: { accept: 'application/json' } }))[0];

  const flows = 200;
  const callbacks = [];
  const began = performance.now();
  await Promise.all(Array.from({ length: 8 }, async () => { for (let i = 0; i < flows / 8; i += 1) callbacks.push(await connect(session)); }));
  row('connect flows, 8 browsers (login to callback, sandbox included)', `${(flows / ((performance.now() - began) / 1000)).toFixed(1)} /s`);
  row('callback, p50 / p99 of these', `${quantile(callbacks, 0.5).toFixed(1)} / ${quantile(callbacks, 0.99).toFixed(1)} ms`);

  // EHR launch: from the EHR's link to the first byte of the view, and what the EHR's own answers take of
  // that, asked for by a client without us: authorize, token, the user, then patient, visit and documents at once.
  await fetch(`${app}/api/save_launch_settings`, { ...form({ auto_approve: 'true' }), headers: { cookie: session, accept: 'application/json' } });
  const ordered = async (client) => (await (await fetch(`${ehr}/ehr/launch`, { method: 'POST', body: JSON.stringify({ client_id: client, patient: 'pat-0001' }) })).json()).url;
  async function launch() {
    let at = await ordered('demo-secret');
    const jar = new Map();
    const began = performance.now();
    for (;;) {
      const answer = await fetch(at, { redirect: 'manual', headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') } });
      for (const cookie of cookies(answer)) { const [name, value] = cookie.split(/=(.*)/s); if (value) jar.set(name, value); else jar.delete(name); }
      if (answer.status === 200) {
        const took = performance.now() - began;
        if (!(await answer.text()).includes('data-patient')) throw new Error(`no patient at ${at}`);
        return took;
      }
      at = new URL(location(answer), at).href;
    }
  }
  async function withoutUs() {
    const handle = new URL(await ordered('demo-public')).searchParams.get('launch');
    const verifier = crypto.randomBytes(32).toString('base64url');
    const challenge = crypto.createHash('sha256').update(verifier).digest('base64url');
    const redirect_uri = `${app}/api/integrations/ehr/callback`;
    const scope = 'launch openid fhirUser user/Patient.rs user/Practitioner.rs user/Encounter.rs user/DocumentReference.rs user/Binary.rs';
    const query = new URLSearchParams({ response_type: 'code', client_id: 'demo-public', redirect_uri, scope, state: verifier, nonce: 'n', launch: handle, aud: `${ehr}/fhir`, code_challenge: challenge, code_challenge_method: 'S256' });
    const began = performance.now();
    const back = new URL(location(await fetch(`${ehr}/auth/authorize?${query}`, { redirect: 'manual' })));
    const token = await (await fetch(`${ehr}/auth/token`, form({ grant_type: 'authorization_code', code: back.searchParams.get('code'), redirect_uri, code_verifier: verifier, client_id: 'demo-public' }))).json();
    const read = async (path) => { const answer = await fetch(`${ehr}/fhir/${path}`, { headers: { authorization: `Bearer ${token.access_token}` } }); if (!answer.ok) throw new Error(`${path}: ${answer.status}`); return answer.json(); };
    await read('Practitioner/prac-river');
    await Promise.all([read(`Patient/${token.patient}`), read(`Encounter/${token.encounter}`), read(`DocumentReference?patient=${token.patient}`)]);
    return performance.now() - began;
  }
  const times = async (what) => { const all = []; for (let i = 0; i < 110; i += 1) { const took = await what(); if (i >= 10) all.push(took); } return all; };
  const [ours, theirs] = [await times(launch), await times(withoutUs)];
  row('EHR launch to the first byte of the view, p50 / p99', `${quantile(ours, 0.5).toFixed(1)} / ${quantile(ours, 0.99).toFixed(1)} ms`);
  row('the EHR\'s own answers of these, p50', `${quantile(theirs, 0.5).toFixed(1)} ms`);

  const page = `${app}/settings/ehr-integrations/generic`;
  const status = await fetch(page, { headers: { cookie: session, accept: 'text/html' }, redirect: 'manual' });
  if (status.status !== 200) throw new Error(`settings page: ${status.status}`);
  const wrk = execFileSync('wrk', ['-t1', '-c64', '-d10s', '--latency', '-H', `Cookie: ${session}`, '-H', 'Accept: text/html', page], { encoding: 'utf8' });
  if (/Non-2xx/.test(wrk)) throw new Error(wrk);
  row('settings page, 64 clients', `${/Requests\/sec:\s+([\d.]+)/.exec(wrk)[1]} /s, p99 ${/99%\s+(\S+)/.exec(wrk)[1]}`);
  row('memory after that', `${memory(children[0]).toFixed(1)} MiB`);

  const pkg = path.join(root, 'target/site/pkg');
  const size = (kind) => fs.readdirSync(pkg).filter((name) => name.endsWith(`.${kind}.br`)).reduce((sum, name) => sum + fs.statSync(path.join(pkg, name)).size, 0);
  const [wasm, js, css] = ['wasm', 'js', 'css'].map(size);
  row('first load, brotli: wasm + js + css', `${wasm} + ${js} + ${css} = ${wasm + js + css} bytes`);
} finally {
  for (const child of children) child.kill();
  fs.rmSync(folder, { recursive: true, force: true });
}
const width = Math.max(...rows.map(([what]) => what.length));
for (const [what, figure] of rows) console.log(`${what.padEnd(width)}  ${figure}`);
