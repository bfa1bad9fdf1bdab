// An EHR that nobody here wrote: a certified authorization server (oidc-provider) and a FHIR server with
// validation (Medplum's router), each a process of its own, with one chart in them.
import { ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort, Stack, waitFor } from '../stack';

export const SECRET = 'a secret of the peer EHR, long enough';

export class Peers {
  private children: ChildProcess[] = [];
  private output = '';
  readonly patient = { id: '', name: 'Ines Peer' };
  practitioner = '';
  encounter = '';

  private constructor(readonly auth: string, readonly fhir: string, private folder: string) {}

  static async start(stack: Stack): Promise<Peers> {
    const [authPort, fhirPort] = [await freePort(), await freePort()];
    const [auth, fhir] = [`http://127.0.0.1:${authPort}`, `http://127.0.0.1:${fhirPort}`];
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ehr-peers-'));
    const client = (client_id: string, more: object) => ({
      client_id,
      redirect_uris: [`${stack.app}/api/integrations/ehr/callback`],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      ...more,
    });
    fs.writeFileSync(path.join(folder, 'clients.json'), JSON.stringify([
      client('peer-secret', { client_secret: SECRET, token_endpoint_auth_method: 'client_secret_basic' }),
      client('peer-key', {
        jwks_uri: `${stack.app}/api/integrations/ehr/jwks`,
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'RS384',
      }),
    ]));
    const peers = new Peers(auth, fhir, folder);
    const seed = 'seed-key';
    peers.spawn('ehr.mjs', { PORT: `${authPort}`, FHIR_BASE: fhir, CLIENTS: path.join(folder, 'clients.json') });
    peers.spawn('smart-fhir.mjs', { PORT: `${fhirPort}`, ISSUER: auth, SEED_KEY: seed });
    await waitFor(`${auth}/.well-known/openid-configuration`, () => peers.output);
    await waitFor(`${fhir}/metadata`, () => peers.output);
    await peers.fill(seed);
    return peers;
  }

  private spawn(script: string, env: Record<string, string>): void {
    const child = spawn(process.execPath, [path.join(__dirname, script)], { env: { PATH: process.env.PATH ?? '', ...env } });
    const keep = (chunk: Buffer) => { this.output += chunk.toString(); };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.children.push(child);
  }

  private async fill(seed: string): Promise<void> {
    const create = async (resource: object & { resourceType: string }): Promise<string> => {
      const answer = await fetch(`${this.fhir}/${resource.resourceType}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${seed}`, 'content-type': 'application/fhir+json' },
        body: JSON.stringify(resource),
      });
      const body = (await answer.json()) as { id: string };
      if (!answer.ok) throw new Error(JSON.stringify(body));
      return body.id;
    };
    const [given, family] = this.patient.name.split(' ');
    this.patient.id = await create({ resourceType: 'Patient', name: [{ given: [given], family }], birthDate: '1980-04-05', gender: 'female' } as never);
    this.practitioner = await create({ resourceType: 'Practitioner', name: [{ given: ['Nadia'], family: 'Clinician' }] } as never);
    this.encounter = await create({ resourceType: 'Encounter', status: 'in-progress', class: { code: 'AMB', display: 'ambulatory' }, subject: { reference: `Patient/${this.patient.id}` } } as never);
    await create({
      resourceType: 'DocumentReference',
      status: 'current',
      subject: { reference: `Patient/${this.patient.id}` },
      date: '2026-01-02T10:00:00Z',
      context: { encounter: [{ reference: `Encounter/${this.encounter}` }] },
      content: [{ attachment: { contentType: 'text/plain', title: 'Peer progress note' } }],
    } as never);
  }

  /** The EHR's page with the application in its frame. */
  chart(launchUrl: string): string {
    const query = new URLSearchParams({ app: launchUrl, user: `Practitioner/${this.practitioner}`, patient: this.patient.id, encounter: this.encounter });
    return `${this.auth}/ehr?${query}`;
  }

  async stop(): Promise<void> {
    for (const child of this.children) child.kill('SIGTERM');
    await Promise.all(this.children.map((child) => (child.exitCode === null ? new Promise((resolve) => child.once('exit', resolve)) : null)));
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
