// A whole installation for a worker: the release as it is deployed (program, hash.txt, site) in a
// folder of its own and run from there, with a sandbox EHR, on an SQLite database of its own.
import { ChildProcess, execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

const root = path.resolve(__dirname, '..');
const release = path.join(root, 'target/release');

export type Member = { email: string; password: string };

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

export async function waitFor(url: string, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const answered = await fetch(url).then((answer) => answer.ok, () => false);
    if (answered) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${url} does not answer:\n${log()}`);
}

export class Stack {
  private children: ChildProcess[] = [];
  private output = '';
  private count = 0;

  private constructor(
    private folder: string,
    private env: Record<string, string>,
    readonly app: string,
    readonly ehr: string,
  ) {}

  /** `sandbox`: further arguments of the sandbox EHR. */
  static async start(sandbox: string[] = []): Promise<Stack> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ehr-end2end-'));
    for (const name of ['ehr-integrations', 'hash.txt']) fs.copyFileSync(path.join(release, name), path.join(folder, name));
    fs.cpSync(path.join(root, 'target/site'), path.join(folder, 'site'), { recursive: true });
    const [appPort, ehrPort] = [await freePort(), await freePort()];
    const app = `http://localhost:${appPort}`;
    const ehr = `http://127.0.0.1:${ehrPort}`;
    const keys = execFileSync(path.join(folder, 'ehr-integrations'), ['keys', 'generate'], { encoding: 'utf8' });
    const generated = Object.fromEntries(
      keys.trim().split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    const env = {
      ...generated,
      PATH: process.env.PATH ?? '',
      APP_BASE_URL: app,
      DATABASE_URL: `sqlite://${folder}/data/test.db`,
      LEPTOS_SITE_ADDR: `127.0.0.1:${appPort}`,
      SANDBOX_ADDR: `127.0.0.1:${ehrPort}`,
      EHR_ALLOW_PRIVATE_NETWORK: '1',
    };
    const stack = new Stack(folder, env, app, ehr);
    stack.spawn('sandbox', ...sandbox);
    stack.spawn('serve');
    try {
      await waitFor(`${ehr}/fhir/metadata`, () => stack.output);
      await waitFor(`http://127.0.0.1:${appPort}/healthz`, () => stack.output);
    } catch (error) {
      await stack.stop();
      throw error;
    }
    return stack;
  }

  /** A second process of the application, with the same database. Answers its address. */
  async replica(): Promise<string> {
    const address = `127.0.0.1:${await freePort()}`;
    this.spawnIn({ ...this.env, LEPTOS_SITE_ADDR: address }, 'serve');
    await waitFor(`http://${address}/healthz`, () => this.output);
    return `http://${address}`;
  }

  /** How the sandbox EHR differs from the plain standard from now on; `{}`: not at all. */
  async personality(personality: object): Promise<void> {
    await this.tell('personality', personality);
  }

  /** What goes wrong at the sandbox EHR, once. */
  async fault(endpoint: string, fault: object | string): Promise<void> {
    await this.tell('faults', { endpoint, fault });
  }

  /** The EHR ends every access token; with `grants` the refresh tokens, too. */
  async takeBack(grants = false): Promise<void> {
    await this.tell('take-back', { grants });
  }

  private async tell(what: string, body: object): Promise<void> {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${this.ehr}/sandbox/${what}`, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
  }

  private spawn(...args: string[]): void {
    this.spawnIn(this.env, ...args);
  }

  private spawnIn(env: Record<string, string>, ...args: string[]): void {
    const child = spawn(path.join(this.folder, 'ehr-integrations'), args, { cwd: '/', env });
    const keep = (chunk: Buffer) => { this.output += chunk.toString(); };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.children.push(child);
  }

  /** Everything that the processes printed. */
  get log(): string {
    return this.output;
  }

  /** The link that a first start prints. */
  get setUpLink(): string {
    const found = /http:\/\/\S+\/setup\?token=\S+/.exec(this.output);
    if (!found) throw new Error(`no set-up link in:\n${this.output}`);
    return found[0];
  }

  run(args: string[], input = ''): string {
    return execFileSync(path.join(this.folder, 'ehr-integrations'), args, { cwd: '/', env: this.env, input, encoding: 'utf8' }).trim();
  }

  /** A practice of its own, with one member of this role. */
  practice(role = 'owner'): { name: string; member: Member } {
    this.count += 1;
    const name = `Practice ${process.pid}-${this.count}`;
    return { name, member: this.member(name, role) };
  }

  member(practice: string, role: string): Member {
    this.count += 1;
    const email = `${role}-${this.count}@practice.example`;
    const password = 'correct horse battery staple';
    this.run(['admin', 'create', '--practice', practice, '--email', email, '--password-stdin', '--role', role], password);
    return { email, password };
  }

  /** Configures a practice's generic provider for the sandbox, without a browser. */
  async configure(practice: string): Promise<void> {
    const token = this.run(['tokens', 'create', '--practice', practice, '--name', 'set-up', '--scope', 'config:write']);
    const generic = { issuer: `${this.ehr}/fhir`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' };
    const answer = await fetch(`${this.app}/api/integrations/ehr/config`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ enabledProviders: ['generic'], providerConfigs: { generic } }),
    });
    if (!answer.ok) throw new Error(await answer.text());
  }

  /** Configures a practice's generic provider as a backend service of the sandbox, which may export or not. */
  async configureExports(practice: string, allowed = true): Promise<void> {
    const token = this.run(['tokens', 'create', '--practice', practice, '--name', 'set-up', '--scope', 'config:write']);
    const generic = { issuer: `${this.ehr}/fhir`, clientId: 'demo-key' };
    const answer = await fetch(`${this.app}/api/integrations/ehr/config`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ enabledProviders: ['generic'], providerConfigs: { generic }, enableBulkExport: allowed }),
    });
    if (!answer.ok) throw new Error(await answer.text());
    this.run(['approve', '--practice', practice, '--provider', 'generic']);
  }

  async stop(): Promise<void> {
    for (const child of this.children) child.kill('SIGTERM');
    await Promise.all(this.children.map((child) => (child.exitCode === null ? new Promise((resolve) => child.once('exit', resolve)) : null)));
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
