// How the embedded view and the pages around it look, and how they are used without a mouse.
import { approveEveryone, launchUrl, open, test } from '../clinic';
import { accessible, expect, fits } from '../fixtures';

test('the view is accessible, fits 320 px, and knows the dark', async ({ page, other, clinic }) => {
  await approveEveryone(other, clinic);
  const { stack } = clinic;
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    for (const width of [320, 900]) {
      await page.setViewportSize({ width, height: 700 });
      await page.goto(await launchUrl(stack, 'pat-0005'));
      for (const tab of ['Documents', 'Notes', 'About this connection']) {
        await page.getByRole('link', { name: tab }).click();
        await expect(page.locator('a[aria-current]')).toHaveText(tab);
        await accessible(page);
        await fits(page);
      }
      await page.goto(`${stack.app}/api/integrations/ehr/launch?iss=https://other.example&launch=1`);
      await accessible(page);
    }
  }
});

test('waiting, signing out and the keyboard', async ({ page }) => {
  const { stack, owner } = await open();
  try {
    await page.setViewportSize({ width: 320, height: 700 });
    await page.goto(await launchUrl(stack, 'pat-0001'));
    await expect(page.locator('#look-again')).toBeVisible();
    await accessible(page);
    await fits(page);
    await approveEveryone(page, { stack, owner });
    await page.goto(await launchUrl(stack, 'pat-0002', { user: 'dr.stone' }));
    // By keyboard alone: past the banner, to the second part, and out.
    await page.keyboard.press('Tab');
    await expect(page.getByRole('link', { name: 'Skip to content' })).toBeFocused();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await expect(page.getByRole('link', { name: 'Notes' })).toBeFocused();
    await page.keyboard.press('Enter');
    await expect(page.locator('a[aria-current]')).toHaveText('Notes');
    await page.locator('#sign-out').focus();
    await page.keyboard.press('Enter');
    await expect(page.locator('h1')).toHaveText('You are signed out');
    await accessible(page);
    await fits(page);
  } finally {
    await stack.stop();
  }
});
