// Connecting to, and launching from, an EHR that nobody here wrote.
import { alive, expect, Member, openProvider, signIn, test as base } from '../fixtures';
import { Stack } from '../stack';
import { Peers, SECRET } from './peers';

type Clinic = { stack: Stack; peers: Peers; owner: Member };

const test = base.extend<object, { clinic: Clinic }>({
  clinic: [async ({}, use) => {
    const stack = await Stack.start();
    const peers = await Peers.start(stack);
    const owner = stack.member('Peer Clinic', 'owner');
    await use({ stack, peers, owner });
    await peers.stop();
    await stack.stop();
  }, { scope: 'worker', timeout: 60_000 }],
});

for (const [client, secret] of [['peer-secret', SECRET], ['peer-key', '']] as const) {
  test(`connects, denied and allowed, as ${client}, and is launched in a frame`, async ({ page, other, clinic }) => {
    const { stack, peers, owner } = clinic;
    await signIn(other, stack, owner);
    await openProvider(other, stack, 'generic');
    await other.fill('#field-issuer', peers.fhir);
    await other.fill('#field-clientId', client);
    if (secret) await other.fill('#field-clientSecret', secret);
    else await other.selectOption('#field-clientAuth', 'key');
    await other.click('#save');
    await expect(other.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();

    await other.locator('a#connect').click();
    await other.getByRole('button', { name: 'Deny' }).click();
    await expect(other.locator('[data-problem]')).toHaveAttribute('data-problem', 'access_denied');
    await other.locator('a#connect').click();
    await other.fill('input[name=user]', `Practitioner/${peers.practitioner}`);
    await other.fill('input[name=patient]', peers.patient.id);
    await other.getByRole('button', { name: 'Approve' }).click();
    await alive(other);
    await expect(other.locator('[data-status]').first()).toHaveAttribute('data-status', 'connected');

    await other.goto(`${stack.app}/launches`);
    await alive(other);
    await other.check('#field-auto_approve');
    await other.fill('#field-frame_origins', peers.auth);
    await other.click('#save-rules');
    await expect(other.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();

    await page.goto(peers.chart(`${stack.app}/api/integrations/ehr/launch`));
    const app = page.frameLocator('#app');
    await expect(app.locator('[data-patient]')).toHaveText(peers.patient.name);
    await expect(app.locator('.list li')).toContainText('Peer progress note');
    await app.getByRole('link', { name: 'Notes' }).click();
    await expect(app.locator('.list li')).toContainText('Peer progress note');
    await app.getByRole('link', { name: 'About this connection' }).click();
    await expect(app.locator('[data-clinician]')).toHaveText('Nadia Clinician');
    await app.locator('#sign-out').click();
    // Its signed access tokens cannot be revoked, and it says so (RFC 7009 §2.2.1).
    await expect(app.locator('main')).toContainText('This EHR lets it end by itself');
  });
}
