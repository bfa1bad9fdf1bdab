import { accessible, alive, expect, signIn, test } from '../fixtures';

test('signs in and out; a page asked for first comes after', async ({ page, stack }) => {
  const { member } = stack.practice();
  await page.goto(`${stack.app}/members`);
  await expect(page).toHaveURL(/\/sign-in\?next=%2Fmembers$/);
  await alive(page);
  await accessible(page);
  await page.fill('input[name=email]', member.email);
  await page.fill('input[name=password]', 'not the password at all');
  await page.click('#sign-in');
  await expect(page.getByRole('alert').first()).toContainText('is not right');
  await expect(page.locator('input[name=email]')).toHaveValue(member.email);
  await page.fill('input[name=password]', member.password);
  await page.click('#sign-in');
  await expect(page).toHaveURL(`${stack.app}/members`);
  await page.context().clearCookies();
  await page.goto(`${stack.app}/`);
  await expect(page).toHaveURL(/\/sign-in/);
});

test('invites a colleague, who joins', async ({ page, stack, other: theirs }) => {
  const { member } = stack.practice();
  await signIn(page, stack, member);
  await page.goto(`${stack.app}/members`);
  await alive(page);
  const email = `colleague-${Date.now()}-${Math.random()}@practice.example`;
  await page.fill('input[name=email]', email);
  await page.selectOption('select[name=role]', 'clinician');
  await page.getByRole('button', { name: /invit/i }).first().click();
  const link = page.getByText(/\/invite\?token=/).or(page.locator('input[value*="/invite?token="]')).first();
  await expect(link).toBeVisible();
  const text = (await link.textContent()) || (await link.inputValue());
  const url = /http\S+\/invite\?token=[\w-]+/.exec(text)![0];

  await theirs.goto(url);
  await alive(theirs);
  await theirs.fill('input[name=name]', 'Grace Test');
  await theirs.fill('input[name=password]', 'correct horse battery staple');
  await theirs.click('main form button');
  await expect(theirs).toHaveURL(`${stack.app}/`);
  await theirs.goto(`${stack.app}/settings/ehr-integrations/generic`);
  await alive(theirs);
  await expect(theirs.locator('#save')).toBeDisabled();
});

test('lists sessions and ends another one', async ({ page, stack, other: theirs }) => {
  const { member } = stack.practice();
  await signIn(theirs, stack, member);
  await signIn(page, stack, member);
  await page.goto(`${stack.app}/account`);
  await alive(page);
  await page.locator('form[action*=revoke_session] button').first().click();
  await expect(page.locator('form[action*=revoke_session]')).toHaveCount(0);
  await theirs.goto(`${stack.app}/account`);
  await expect(theirs).toHaveURL(/\/sign-in/);
});

test('the second factor is set up by a picture', async ({ page, stack }) => {
  await signIn(page, stack, stack.practice().member);
  await page.goto(`${stack.app}/account/two-factor`);
  await alive(page);
  const picture = page.getByAltText(/QR code/);
  await expect(picture).toBeVisible();
  expect(await picture.evaluate((image: HTMLImageElement) => image.naturalWidth)).toBeGreaterThan(100);
});
