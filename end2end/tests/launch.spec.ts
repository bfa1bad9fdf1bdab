// EHR launches in the EHR's frame.
import http from 'node:http';
import { approveEveryone, chart, frames, launchUrl, open, test } from '../clinic';
import { accessible, alive, expect, signIn } from '../fixtures';
import { freePort } from '../stack';

test('a newcomer waits in the frame, is approved, and sees the chart', async ({ page, other }) => {
  // A clinic of its own: in the others everyone is approved.
  const { stack, owner } = await open();
  try {
    const app = await chart(page, stack, 'pat-0001', 'dr.stone');
    await expect(app.locator('h1')).toHaveText('The practice has not approved you yet.');
    await expect(app.locator('main')).toContainText('Amara Stone');
    await signIn(other, stack, owner);
    await other.goto(`${stack.app}/launches`);
    await alive(other);
    await accessible(other);
    const row = other.locator('tr[data-clinician="Amara Stone"]');
    await row.getByRole('button', { name: /^Approve/ }).click();
    await expect(row).toContainText('Approved');
    await app.locator('#look-again').click();
    await expect(app.locator('[data-patient]')).toBeVisible();
    await expect(app.locator('.list li').first()).toBeVisible();
    await app.getByRole('link', { name: 'Notes' }).click();
    await expect(app.locator('a[aria-current]')).toHaveText('Notes');
    await app.getByRole('link', { name: 'About this connection' }).click();
    await expect(app.locator('[data-clinician]')).toHaveText('Amara Stone');
    await app.locator('#sign-out').click();
    await expect(app.locator('h1')).toHaveText('You are signed out');
    await expect(app.locator('main')).toContainText('The EHR confirmed');
  } finally {
    await stack.stop();
  }
});

test('two patients in two frames stay apart, and each warns of the other', async ({ page, other, clinic }) => {
  await approveEveryone(other, clinic);
  const { stack } = clinic;
  const urls = [await launchUrl(stack, 'pat-0002'), await launchUrl(stack, 'pat-0003')];
  const [one, two] = await frames(page, `${stack.ehr}/ehr`, urls);
  await expect(one!.locator('[data-patient]')).toBeVisible();
  await expect(two!.locator('[data-patient]')).toBeVisible();
  const names = [await one!.locator('[data-patient]').textContent(), await two!.locator('[data-patient]').textContent()];
  expect(names[0]).not.toBe(names[1]);
  for (const [index, frame] of [one!, two!].entries()) {
    await frame.getByRole('link', { name: 'Notes' }).click();
    await expect(frame.locator('a[aria-current]')).toHaveText('Notes');
    await expect(frame.locator('[data-patient]')).toHaveText(names[index]!);
    await expect(frame.locator('#other-patient')).toBeVisible();
  }
});

test('blocked cookies are seen before the EHR is asked, and a window of its own goes on', async ({ page, other, clinic }) => {
  await approveEveryone(other, clinic);
  const { stack } = clinic;
  // As a browser does that keeps no cookie in a frame.
  await page.route(/\/api\/integrations\/ehr\/launch\?/, async (route) => {
    const answer = await route.fetch({ maxRedirects: 0 });
    const { 'set-cookie': _, ...headers } = answer.headers();
    await route.fulfill({ response: answer, headers });
  });
  const app = await chart(page, stack, 'pat-0001');
  await expect(app.locator('[data-problem]')).toHaveAttribute('data-problem', 'cookie_blocked');
  // Of its own, so its cookies are first-party.
  await page.unrouteAll();
  const [window] = await Promise.all([page.context().waitForEvent('page'), app.locator('#own-window').click()]);
  await expect(window.locator('[data-patient]')).toBeVisible();
});

test('a launch that the practice ends closes with the next click', async ({ page, other, clinic }) => {
  await approveEveryone(other, clinic);
  const { stack } = clinic;
  const app = await chart(page, stack, 'pat-0004', 'nurse.lake');
  await expect(app.locator('[data-patient]')).toBeVisible();
  await other.goto(`${stack.app}/launches`);
  await alive(other);
  await other.locator('tr[data-launch]').filter({ hasText: 'Mateo Lake' }).first().getByRole('button', { name: 'End now' }).click();
  await expect(other.getByRole('status').filter({ hasText: /Launch ended/ })).toBeVisible();
  await app.getByRole('link', { name: 'Notes' }).click();
  await expect(app.locator('[data-problem]')).toHaveAttribute('data-problem', 'token_expired');
});

test('a launch ends with its token, in the middle of use', async ({ page, other }) => {
  const clinic = await open(['--access-token-seconds', '6']);
  try {
    await approveEveryone(other, clinic);
    const app = await chart(page, clinic.stack, 'pat-0001');
    await expect(app.locator('[data-patient]')).toBeVisible();
    await expect(app.locator('[data-problem]')).toHaveAttribute('data-problem', 'token_expired', { timeout: 15_000 });
  } finally {
    await clinic.stack.stop();
  }
});

test('wrong issuers and forged or replayed answers are refused in the frame', async ({ page, other, clinic }) => {
  await approveEveryone(other, clinic);
  const { stack } = clinic;
  const route = `${stack.app}/api/integrations/ehr`;
  const seen: string[] = [];
  page.on('request', (request) => { if (request.url().includes('/callback?')) seen.push(request.url()); });
  const good = await chart(page, stack, 'pat-0001');
  await expect(good.locator('[data-patient]')).toBeVisible();
  const [wrong, forged, replayed] = await frames(page, `${stack.ehr}/ehr`, [
    `${route}/launch?iss=${encodeURIComponent('https://other.example/fhir')}&launch=1`,
    `${route}/callback?code=x&state=forged`,
    seen[0]!,
  ]);
  await expect(wrong!.locator('[data-problem]')).toHaveAttribute('data-problem', 'invalid_issuer');
  await expect(wrong!.locator('main')).toContainText('https://other.example/fhir');
  await expect(forged!.locator('[data-problem]')).toHaveAttribute('data-problem', 'state_mismatch');
  // Its cookie went when it was used.
  await expect(replayed!.locator('[data-problem]')).toHaveAttribute('data-problem', 'cookie_blocked');
});

test('a denial is said in the frame, with the next step', async ({ page, clinic }) => {
  const { stack } = clinic;
  const [app] = await frames(page, `${stack.ehr}/ehr`, [await launchUrl(stack, 'pat-0001', { deny: true })]);
  await expect(app!.locator('[data-problem]')).toHaveAttribute('data-problem', 'access_denied');
  await expect(app!.locator('.next')).toContainText('allow access');
});

test('only the EHR may frame the view', async ({ page, other, clinic, errors }) => {
  await approveEveryone(other, clinic);
  const { stack } = clinic;
  await chart(page, stack, 'pat-0001');
  await expect(page.frameLocator('#app').locator('[data-patient]')).toBeVisible();
  const view = page.frames().find((frame) => frame.url().includes('/embed/'))!.url();
  // The same site, so the cookie is there; another origin.
  const port = await freePort();
  const elsewhere = http.createServer((_, answer) => answer.setHeader('content-type', 'text/html').end('<title>Elsewhere</title><body>'));
  elsewhere.listen(port, '127.0.0.1');
  try {
    await frames(page, `http://127.0.0.1:${port}/`, [view]);
    await expect.poll(() => page.frames()[1]?.url()).toMatch(/^chrome-error:/);
  } finally {
    elsewhere.close();
  }
  // What the browser says about it.
  errors.splice(0);
});
