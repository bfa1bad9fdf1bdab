import AxeBuilder from '@axe-core/playwright';
import { expect, Page, test as base } from '@playwright/test';
import { Member, Stack } from './stack';

export { expect };
export type { Member };

export const test = base.extend<{ quiet: void }, { stack: Stack }>({
  stack: [async ({}, use) => {
    const stack = await Stack.start();
    await use(stack);
    await stack.stop();
  }, { scope: 'worker', timeout: 60_000 }],
  // A page that logs an error (a refused script, a failed hydration, a blocked style) fails its test.
  quiet: [async ({ page }, use) => {
    const errors: string[] = [];
    page.on('console', (message) => { if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) errors.push(message.text()); });
    page.on('pageerror', (error) => errors.push(error.message));
    await use();
    expect(errors, 'errors in the browser').toEqual([]);
  }, { auto: true }],
});

export const hasScripts = () => test.info().project.name === 'js';

/** With JavaScript, waits until the page is alive. */
export async function alive(page: Page): Promise<void> {
  if (hasScripts()) await page.waitForFunction(() => document.documentElement.dataset.hydrated === 'true');
}

export async function signIn(page: Page, stack: Stack, member: Member): Promise<void> {
  await page.goto(`${stack.app}/sign-in`);
  await page.fill('input[name=email]', member.email);
  await page.fill('input[name=password]', member.password);
  await page.click('#sign-in');
  await expect(page).toHaveURL(`${stack.app}/`);
  await alive(page);
}

/** No violation on this page, as it stands. */
export async function accessible(page: Page): Promise<void> {
  if (!hasScripts()) return;
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.html).join(' ')}`)).toEqual([]);
}

/** Nothing sticks out of the window. */
export async function fits(page: Page): Promise<void> {
  const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  expect(content).toBeLessThanOrEqual(window);
}

/** Goes to the sandbox EHR's pages, and answers them. */
export async function atTheEhr(page: Page, stack: Stack, decision: 'allow' | 'deny'): Promise<void> {
  await expect(page).toHaveURL(new RegExp(`^${stack.ehr}`));
  await page.fill('#username', 'dr.river');
  await page.fill('#password', 'sandbox');
  await page.click('#sign-in');
  await page.locator('button[name=patient]').first().click();
  await page.click(`#${decision}`);
}

export async function openProvider(page: Page, stack: Stack, id: string): Promise<void> {
  await page.goto(`${stack.app}/settings/ehr-integrations/${id}`);
  await alive(page);
}
