import { accessible, alive, atTheEhr, expect, openProvider, signIn, test } from '../fixtures';
import type { Page } from '@playwright/test';
import type { Stack } from '../stack';

async function connect(page: Page, stack: Stack): Promise<string> {
  const { name, member } = stack.practice();
  await stack.configure(name);
  await signIn(page, stack, member);
  await openProvider(page, stack, 'generic');
  await page.locator('a#connect').click();
  await atTheEhr(page, stack, 'allow');
  await alive(page);
  return name;
}

test.afterEach(async ({ stack }) => { await stack.personality({}); });

test('scopes: asked for, offered and granted, and what a missing one switches off', async ({ page, stack }) => {
  await stack.personality({ drop_scopes: ['user/Binary.rs'] });
  await connect(page, stack);
  const row = page.locator('#scopes tr', { hasText: 'user/Binary.rs' });
  await expect(row).toContainText('Not granted');
  await expect(row).toContainText('Documents cannot be opened.');
  await expect(row.locator('td').nth(2)).toHaveText('Yes');
  await expect(page.locator('#scopes tr', { hasText: 'user/Patient.rs' })).toContainText('Granted');
  await accessible(page);

  await stack.personality({ omit_scope_in_token: true });
  await page.locator('a#connect').click();
  await atTheEhr(page, stack, 'allow');
  await alive(page);
  await expect(page.locator('#scopes tr', { hasText: 'user/Binary.rs' })).toContainText('Not stated');
});

test('a disconnect leaves a receipt', async ({ page, stack }) => {
  await connect(page, stack);
  await stack.fault('revoke', { status: 500 });
  await page.locator('#disconnect-confirm > summary').click();
  await page.click('#disconnect');
  await expect(page.locator('[data-status=not_connected]').first()).toBeVisible();
  await expect(page.locator('#receipt')).toContainText('the EHR did not confirm it');
  await expect(page.locator('#receipt')).toContainText('the EHR confirmed that it is revoked');
  await accessible(page);
});

test('a token that the EHR does not take any more is replaced', async ({ page, stack }) => {
  await connect(page, stack);
  await stack.takeBack();
  await page.click('#test-connection');
  // Without a renewal the EHR would call it not active, and the patient could not be read.
  await expect(page.locator('#test-result')).toContainText('Active');
  await expect(page.locator('#test-result')).toContainText(/MRN|Medical record/i);

  // With its refresh token gone, too, somebody has to connect again.
  await stack.takeBack(true);
  await alive(page);
  await page.click('#test-connection');
  await expect(page.locator('[data-problem=needs_reconnect]').first()).toBeVisible();
});

test('reminds of a client secret that ends', async ({ page, stack }) => {
  const { name, member } = stack.practice();
  await stack.configure(name);
  await signIn(page, stack, member);
  await openProvider(page, stack, 'generic');
  const soon = new Date(Date.now() + 7 * 86_400_000).toISOString().slice(0, 10);
  await page.fill('#field-clientSecretExpires', soon);
  await page.click('#save');
  await expect(page.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();
  await page.goto(stack.app);
  await alive(page);
  await expect(page.locator('#ending')).toContainText('client secret (Generic SMART on FHIR)');
  await accessible(page);
  await page.locator('#ending a').click();
  await expect(page.locator('[data-ending]').first()).toContainText('Client secret');
  await accessible(page);
});

test('two processes share a connection whose tokens end all the time', async ({ page, stack }) => {
  test.setTimeout(90_000);
  await stack.personality({ access_token_seconds: 2 });
  const name = await connect(page, stack);
  const token = stack.run(['tokens', 'create', '--practice', name, '--name', 'race', '--scope', 'read']);
  const processes = [stack.app, await stack.replica()];
  const ask = async (base: string) => {
    const answer = await fetch(`${base}/api/integrations/ehr/status?providerId=generic&includeCapabilities=1`, {
      headers: { authorization: `Bearer ${token}` },
    });
    return [answer.status, (await answer.json()).status];
  };
  for (let wave = 0; wave < 4; wave += 1) {
    await page.waitForTimeout(2_100);
    const answers = await Promise.all(Array.from({ length: 24 }, (_, task) => ask(processes[task % 2])));
    // A refresh token that is used twice ends the grant at this EHR.
    expect(answers).toEqual(answers.map(() => [200, 'connected']));
  }
});
