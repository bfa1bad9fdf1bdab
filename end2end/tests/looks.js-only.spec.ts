import { accessible, alive, atTheEhr, expect, fits, openProvider, signIn, test } from '../fixtures';

const pages = ['/', '/settings/ehr-integrations', '/settings/ehr-integrations/ecw', '/settings/ehr-integrations/pcc', '/settings/ehr-integrations/generic', '/settings/keys', '/settings/calendar', '/exports', '/members', '/launches', '/recordings', '/account', '/account/two-factor', '/account/recovery-codes', '/audit', '/troubleshooting', '/nothing-here'];

for (const colorScheme of ['light', 'dark'] as const) {
  test(`every page is accessible and fits 360 px, ${colorScheme}`, async ({ page, stack }) => {
    test.setTimeout(120_000);
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const { member } = stack.practice();
    for (const path of ['/sign-in', '/sign-in/code', '/setup?token=x', '/invite?token=x', '/reset?token=x', '/reset']) {
      await page.setViewportSize({ width: 360, height: 800 });
      await page.goto(`${stack.app}${path}`);
      await alive(page);
      await accessible(page);
      await fits(page);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await signIn(page, stack, member);
    await openProvider(page, stack, 'generic');
    await page.fill('#field-issuer', `${stack.ehr}/fhir`);
    await page.fill('#field-clientId', 'demo-public');
    await page.selectOption('#field-clientAuth', 'public');
    await page.click('#save');
    await page.locator('a#connect').click();
    await atTheEhr(page, stack, 'allow');
    for (const path of pages) {
      for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 800 });
        await page.goto(`${stack.app}${path}`);
        await alive(page);
        await expect(page.locator('h1')).toHaveCount(1);
        await accessible(page);
        await fits(page);
      }
    }
  });
}

test('the theme is chosen, and stays', async ({ page, stack }) => {
  const { member } = stack.practice();
  await signIn(page, stack, member);
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await background();
  await page.evaluate(() => localStorage.setItem('theme', 'dark'));
  await page.reload();
  expect(await background()).not.toBe(before);
});

test('leaving with unsaved changes asks first', async ({ page, stack }) => {
  const { member } = stack.practice();
  await signIn(page, stack, member);
  await openProvider(page, stack, 'generic');
  await page.fill('#field-clientId', 'typed');
  let asked = '';
  page.once('dialog', (dialog) => { asked = dialog.message(); void dialog.dismiss(); });
  await page.getByRole('link', { name: 'Members' }).first().click();
  expect(asked).not.toBe('');
  await expect(page.locator('#field-clientId')).toHaveValue('typed');
});

test('addresses are copied', async ({ page, stack, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const { member } = stack.practice();
  await signIn(page, stack, member);
  await openProvider(page, stack, 'ecw');
  await page.getByRole('button', { name: /copy.*redirect/i }).first().click();
  await expect.poll(() => page.evaluate(() => navigator.clipboard.readText())).toBe(`${stack.app}/api/integrations/ehr/callback`);
});

test('leaving a page while it loads leaves the next one whole', async ({ page, stack }) => {
  await signIn(page, stack, stack.practice().member);
  for (let round = 0; round < 15; round += 1) {
    await page.goto(`${stack.app}/`, { waitUntil: 'commit' });
    await openProvider(page, stack, 'generic');
  }
});
