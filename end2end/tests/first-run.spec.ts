import { accessible, alive, expect, test } from '../fixtures';
import { Stack } from '../stack';

// A start with an empty database; the worker's own installation has practices already.
test('a first start is set up by its one-time link', async ({ page }) => {
  const stack = await Stack.start();
  try {
    const link = stack.setUpLink;
    await page.goto(link);
    await alive(page);
    await accessible(page);
    await page.fill('input[name=practice]', 'North Clinic');
    await page.fill('input[name=name]', 'Ada Test');
    await page.fill('input[name=email]', 'ada@clinic.example');
    await page.fill('input[name=password]', 'correct horse battery staple');
    await page.click('main form button');
    await expect(page).toHaveURL(`${stack.app}/`);
    await expect(page.locator('[data-practice]').filter({ visible: true }).first()).toHaveText('North Clinic');

    // The link worked once.
    await page.context().clearCookies();
    await page.goto(link);
    await page.fill('input[name=practice]', 'Second');
    await page.fill('input[name=name]', 'Eve');
    await page.fill('input[name=email]', 'eve@clinic.example');
    await page.fill('input[name=password]', 'correct horse battery staple');
    await page.click('main form button');
    await expect(page.getByText('This link is not valid any more')).toBeVisible();
  } finally {
    await stack.stop();
  }
});

test('what was typed stays when a set-up is refused', async ({ page }) => {
  const stack = await Stack.start();
  try {
    await page.goto(stack.setUpLink);
    await alive(page);
    await page.fill('input[name=practice]', 'North Clinic');
    await page.fill('input[name=name]', 'Ada Test');
    await page.fill('input[name=email]', 'ada@clinic.example');
    await page.fill('input[name=password]', 'aaaaaaaaaaaaaa');
    await page.click('main form button');
    await expect(page.locator('input[name=practice]')).toHaveValue('North Clinic');
    await expect(page.locator('input[name=email]')).toHaveValue('ada@clinic.example');
    await expect(page.locator('input[name=password]')).toHaveValue(/^(aaaaaaaaaaaaaa)?$/);
    await expect(page.locator('[aria-invalid=true]')).toHaveCount(1);
  } finally {
    await stack.stop();
  }
});
