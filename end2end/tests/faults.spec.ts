// What a person sees when the EHR or the network fails: what it was, what to do, and that another try works.
import { accessible, alive, atTheEhr, expect, openProvider, signIn, test } from '../fixtures';
import { Stack } from '../stack';

test.afterEach(async ({ stack }) => { await stack.personality({}); });

const cases: [string, string, object | string, string][] = [
  ['the EHR is down', 'discovery', 'malformed', 'discovery_failed'],
  ['the scopes are refused', 'authorize', { oauth_error: 'invalid_scope' }, 'scope_denied'],
  ['the code has expired', 'token', { oauth_error: 'invalid_grant' }, 'state_expired'],
  ['the client is refused', 'token', { oauth_error: 'invalid_client' }, 'client_auth_failed'],
  ['the EHR asks to slow down', 'token', { too_many_requests: 7 }, 'rate_limited'],
  ['the token endpoint fails', 'token', { status: 503 }, 'ehr_unavailable'],
  ['the token answer breaks off', 'token', 'dropped', 'ehr_unavailable'],
  ['the token answer is no JSON', 'token', 'malformed', 'ehr_unavailable'],
  ['the EHR has no keys', 'jwks', { status: 500 }, 'jwks_unreachable'],
];

// Of its own: what another test has made the application read already is not read again.
test('every fault of a connect is told, recorded, and no obstacle', async ({ page }) => {
  test.setTimeout(180_000);
  const stack = await Stack.start();
  const { name, member } = stack.practice();
  await stack.configure(name);
  await signIn(page, stack, member);
  for (const [what, endpoint, fault, code] of cases) {
    await test.step(what, async () => {
      await openProvider(page, stack, 'generic');
      await stack.fault(endpoint, fault);
      // Discovery has a second way, and the authorization server's keys are asked for by it, too.
      if (endpoint === 'discovery') await stack.fault(endpoint, fault);
      await page.locator('a#connect').click();
      if (page.url().startsWith(stack.ehr) && endpoint !== 'authorize') await atTheEhr(page, stack, 'allow');
      await alive(page);
      await expect(page.locator('[data-problem]').first()).toHaveAttribute('data-problem', code);
      await page.getByRole('link', { name: /^Request / }).click();
      await expect(page.locator('[data-recording] [data-problem]').last()).toHaveAttribute('data-problem', code);
    });
  }
  await accessible(page);
  // Slow is no fault: the right answer comes late, and is taken.
  await openProvider(page, stack, 'generic');
  await stack.fault('token', { slow: 1_500 });
  await page.locator('a#connect').click();
  await atTheEhr(page, stack, 'allow');
  await alive(page);
  await expect(page.locator('[data-status=connected]').first()).toBeVisible();
  await stack.stop();
});

const identities: [object, string][] = [
  [{ wrong_id_token_issuer: true }, 'id_token_invalid'],
  [{ id_token_unknown_kid: true }, 'kid_unknown'],
  [{ wrong_nonce: true }, 'nonce_mismatch'],
  [{ clock_ahead_seconds: 900 }, 'id_token_invalid'],
];

test('an identity that is not right connects nothing', async ({ page, stack }) => {
  test.setTimeout(120_000);
  const { name, member } = stack.practice();
  await stack.configure(name);
  await signIn(page, stack, member);
  for (const [personality, code] of identities) {
    await test.step(JSON.stringify(personality), async () => {
      await stack.personality(personality);
      await openProvider(page, stack, 'generic');
      await page.locator('a#connect').click();
      await atTheEhr(page, stack, 'allow');
      await alive(page);
      await expect(page.locator('[data-problem]').first()).toHaveAttribute('data-problem', code);
      await expect(page.locator('[data-status=connected]')).toHaveCount(0);
    });
  }
});
