import { accessible, alive, atTheEhr, expect, hasScripts, openProvider, signIn, test } from '../fixtures';
import type { Page } from '@playwright/test';
import type { Stack } from '../stack';

async function fill(page: Page, values: Record<string, string>): Promise<void> {
  for (const [key, value] of Object.entries(values)) await page.fill(`#field-${key}`, value);
}

/** Saves, and waits until the page says so. */
async function save(page: Page): Promise<void> {
  await page.click('#save');
  await expect(page.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();
}

const good: Record<string, (stack: Stack) => Record<string, string>> = {
  generic: (stack) => ({ issuer: `${stack.ehr}/fhir`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' }),
  ecw: (stack) => ({ issuer: `${stack.ehr}/fhir/r4/DEMO`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' }),
  epic: (stack) => ({ issuer: `${stack.ehr}/interconnect-fhir-oauth/api/FHIR/R4`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' }),
  pcc: (stack) => ({ issuer: stack.ehr, clientId: 'demo-secret', clientSecret: 'sandbox-secret', pccTenantId: 'demo-tenant' }),
  oracle: (stack) => ({ issuer: `${stack.ehr}/fhir`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' }),
  athena: (stack) => ({ issuer: `${stack.ehr}/fhir`, clientId: 'demo-secret', clientSecret: 'sandbox-secret', athenaPracticeId: '195900' }),
  nextgen: (stack) => ({ issuer: `${stack.ehr}/fhir`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' }),
  veradigm: (stack) => ({ issuer: `${stack.ehr}/fhir`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' }),
  meditech: (stack) => ({ issuer: `${stack.ehr}/fhir`, clientId: 'demo-secret', clientSecret: 'sandbox-secret' }),
};

// What each vendor's server insists on, beyond the standard.
const insists: Record<string, object> = {
  ecw: { v1_scopes_only: true, bad_aud_slash: true },
  epic: { basic_form_encoded_only: true, bare_scope_echo: true },
  pcc: { v1_scopes_only: true },
  oracle: { v1_scopes_only: true, access_token_seconds: 570 },
  athena: { v1_scopes_only: true },
  nextgen: { v1_scopes_only: true, no_aud: true },
  veradigm: { v1_scopes_only: true },
  meditech: { v1_scopes_only: true, v1_scope_echo: true },
};

test.afterEach(async ({ stack }) => { await stack.personality({}); });

for (const [id, values] of Object.entries(good)) {
  test(`configures and connects ${id}`, async ({ page, stack }) => {
    const { member } = stack.practice();
    await stack.personality(insists[id] ?? {});
    await signIn(page, stack, member);
    await page.goto(`${stack.app}/settings/ehr-integrations`);
    await expect(page.locator(`[data-provider=${id}]`)).toBeVisible();
    await openProvider(page, stack, id);

    // Bad values are told by their fields, and stay.
    await fill(page, { issuer: 'http://ehr.example/fhir' });
    await page.click('#save');
    await expect(page.locator('#field-issuer')).toHaveAttribute('aria-invalid', 'true');
    await expect(page.locator('#field-clientId')).toHaveAttribute('aria-invalid', 'true');
    await expect(page.locator('#field-issuer')).toHaveValue('http://ehr.example/fhir');
    await accessible(page);

    await fill(page, values(stack));
    await save(page);
    await expect(page.locator('#field-clientSecret')).toHaveValue('');
    await page.locator('a#connect').click();
    await atTheEhr(page, stack, 'allow');
    await expect(page).toHaveURL(new RegExp(`/settings/ehr-integrations/${id}\\?notice=connected$`));
    await alive(page);
    await expect(page.locator('[data-status=connected]').first()).toBeVisible();
    // In whatever words the EHR tells the grant, nothing of it is missing.
    await expect(page.locator('#scopes')).not.toContainText('Not granted');
    await accessible(page);

    await page.click('#test-connection');
    await expect(page.locator('#test-result')).toContainText('4.0.1');
    await expect(page.locator('#test-result')).toContainText(/MRN|Medical record/i);
  });
}

test('denial, then reconnect, then disconnect', async ({ page, stack }) => {
  const { member } = stack.practice();
  await signIn(page, stack, member);
  await openProvider(page, stack, 'generic');
  await fill(page, good.generic(stack));
  await save(page);
  await page.locator('a#connect').click();
  await atTheEhr(page, stack, 'deny');
  await expect(page).toHaveURL(/problem=access_denied&request=/);
  await expect(page.getByText('Access was denied at the EHR').first()).toBeVisible();

  // The request id leads to what happened, step by step.
  await page.getByRole('link', { name: /^Request / }).click();
  await expect(page.locator('[data-recording]')).toHaveCount(1);
  await expect(page.locator('[data-recording] [data-problem]')).toHaveAttribute('data-problem', 'access_denied');
  await expect(page.locator('[data-recording] li').last()).toContainText('The browser came back');
  await accessible(page);
  await openProvider(page, stack, 'generic');

  await page.locator('a#connect').click();
  await atTheEhr(page, stack, 'allow');
  await expect(page.locator('[data-status=connected]').first()).toBeVisible();
  await page.locator('a#connect').click();
  await atTheEhr(page, stack, 'allow');
  await alive(page);
  await expect(page.locator('[data-status=connected]').first()).toBeVisible();

  await page.locator('#disconnect-confirm > summary').click();
  await page.click('#disconnect');
  await expect(page.locator('[data-status=not_connected]').first()).toBeVisible();
  await expect(page.getByText(/revoked|confirmed/i).first()).toBeVisible();
});

test('switches a provider off and on in the list', async ({ page, stack }) => {
  const { member } = stack.practice();
  await signIn(page, stack, member);
  await openProvider(page, stack, 'generic');
  await fill(page, good.generic(stack));
  await save(page);
  await page.goto(`${stack.app}/settings/ehr-integrations`);
  await alive(page);
  await page.locator('[data-provider=generic] form button').click();
  await page.waitForTimeout(300);
  await openProvider(page, stack, 'generic');
  await expect(page.locator('button#connect')).toBeDisabled();
});

test('the search finds providers', async ({ page, stack }) => {
  const { member } = stack.practice();
  await signIn(page, stack, member);
  await page.goto(`${stack.app}/settings/ehr-integrations`);
  await alive(page);
  await page.fill('#provider-search', 'epic');
  if (!hasScripts()) await page.keyboard.press('Enter');
  await expect(page.locator('[data-provider=epic]')).toBeVisible();
  await expect(page.locator('[data-provider=ecw]')).toHaveCount(0);
});
