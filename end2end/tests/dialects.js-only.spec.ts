// An EHR with a dialect of its own, and the setting of the form that speaks it.
import { alive, atTheEhr, expect, openProvider, signIn, test } from '../fixtures';

test.afterEach(async ({ stack }) => { await stack.personality({}); });

const dialects: [object, Record<string, string>][] = [
  [{ aud_needs_slash: true }, { audience: 'slash' }],
  [{ no_aud: true }, { audience: 'none' }],
  [{ bad_aud_slash: true }, {}],
  [{ authorize_post_only: true }, { authorizeMethod: 'post' }],
  [{ basic_form_encoded_only: true }, { basicEncoding: 'form' }],
  [{ basic_raw_only: true }, { basicEncoding: 'raw' }],
  [{ v1_scopes_only: true }, { scopeVersion: 'v1' }],
  [{ no_refresh_token: true, access_token_seconds: 300 }, {}],
];

for (const [personality, settings] of dialects) {
  test(`connects to an EHR with ${JSON.stringify(personality)}`, async ({ page, stack }) => {
    const { name, member } = stack.practice();
    await stack.configure(name);
    await stack.personality(personality);
    await signIn(page, stack, member);
    await openProvider(page, stack, 'generic');
    for (const [key, value] of Object.entries(settings)) await page.selectOption(`#field-${key}`, value);
    await page.click('#save');
    await expect(page.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();
    await page.locator('a#connect').click();
    await atTheEhr(page, stack, 'allow');
    await alive(page);
    await expect(page.locator('[data-status=connected]').first()).toBeVisible();
    await page.click('#test-connection');
    await expect(page.locator('#test-result')).toContainText('4.0.1');
  });
}
