import { accessible, alive, atTheEhr, expect, hasScripts, openProvider, signIn, test } from '../fixtures';
import type { Page } from '@playwright/test';
import { Stack } from '../stack';

async function save(page: Page): Promise<void> {
  await page.click('#save');
  await expect(page.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();
}

// Alone, a practice is its own operator: so the stack is of this test alone.
test('rotates the key that an EHR trusts, without the EHR noticing', async ({ page }) => {
  const stack = await Stack.start();
  try {
    const { member } = stack.practice();
    await signIn(page, stack, member);
    await openProvider(page, stack, 'generic');
    await page.fill('#field-issuer', `${stack.ehr}/fhir`);
    await page.fill('#field-clientId', 'demo-key');
    await save(page);
    await page.locator('a#connect').click();
    await atTheEhr(page, stack, 'allow');
    await alive(page);
    await expect(page.locator('#connection')).toContainText('Signed assertion (private key), RS384');
    await expect(page.locator('#connection')).toContainText('the EHR takes signed assertions');

    await page.goto(`${stack.app}/settings/keys`);
    const keys = page.locator('#installation-keys');
    await expect(keys.locator('[data-key]')).toHaveCount(1);
    await expect(keys.locator('[data-key]')).toContainText('Generic SMART on FHIR');
    await keys.getByRole('button', { name: 'Can the EHR see my key?' }).click();
    await expect(page.locator('#key-check')).toContainText('Yes: every key is there');
    await expect(page.locator('#key-check')).toContainText('from 127.0.0.1');
    await accessible(page);

    await keys.getByRole('button', { name: 'New RS384 key' }).click();
    await expect(page.getByText('The new key is published.').first()).toBeVisible();
    await expect(keys.locator('[data-key]')).toHaveCount(2);
    await expect(keys.locator('[data-key]').first()).toContainText('Published; signs in 30 hours');
    await expect(keys.getByRole('button', { name: 'New RS384 key' })).toHaveCount(0);
    await accessible(page);

    await keys.locator('[data-key]').first().locator('summary', { hasText: 'Use now' }).click();
    await keys.getByRole('button', { name: 'Use it now' }).click();
    await expect(page.getByText('The new key signs from now on.').first()).toBeVisible();
    await expect(keys.locator('[data-key]').nth(1)).toContainText('Retiring');

    await openProvider(page, stack, 'generic');
    await page.locator('a#connect').click();
    await atTheEhr(page, stack, 'allow');
    await alive(page);
    await expect(page.locator('[data-status=connected]').first()).toBeVisible();
    await page.goto(`${stack.app}/settings/keys`);
    await expect(keys.locator('[data-key]').first()).toContainText('Generic SMART on FHIR');

    await keys.locator('[data-key]').nth(1).locator('summary', { hasText: 'Retire' }).click();
    await keys.locator('[data-key]').nth(1).getByRole('button', { name: 'Retire it now' }).click();
    await expect(page.getByText('The key is retired.').first()).toBeVisible();
    await expect(keys.locator('[data-key]').nth(1)).toContainText('Retired');
    const listed = stack.run(['keys', 'list']);
    expect(listed).toMatch(/active/);
    expect(listed).toMatch(/retired/);
    await page.goto(`${stack.app}/audit`);
    await expect(page.locator('main')).toContainText('Key created');
  } finally {
    await stack.stop();
  }
});

test('a practice among others has keys of its own, and the operator has the rest', async ({ page, stack }) => {
  stack.practice();
  const { member } = stack.practice();
  await signIn(page, stack, member);
  await page.goto(`${stack.app}/settings/keys`);
  await expect(page.locator('#installation-keys')).toContainText('The operator of this installation changes these keys');
  await expect(page.locator('#installation-keys').getByRole('button', { name: /New/ })).toHaveCount(0);
  await openProvider(page, stack, 'generic');
  await expect(page.locator('#field-signingKeys')).toHaveCount(0);
  await page.goto(`${stack.app}/settings/keys`);
  const own = page.locator('#practice-keys');
  await own.getByRole('button', { name: 'New ES384 key' }).click();
  await expect(own.locator('[data-key]')).toContainText('ES384');
  await expect(own.locator('[data-key]')).toContainText('Signs');

  await openProvider(page, stack, 'generic');
  await page.fill('#field-issuer', `${stack.ehr}/fhir`);
  await page.fill('#field-clientId', 'demo-key');
  await page.selectOption('#field-signingKeys', 'practice');
  await save(page);
  await page.reload();
  await alive(page);
  await expect(page.locator('#registration')).toContainText('/api/integrations/ehr/jwks/');
  await expect(page.locator('#client-kind')).toContainText('ES384');
  if (hasScripts()) await accessible(page);
});
