import AxeBuilder from '@axe-core/playwright';
import { expect, Page, test as base } from '@playwright/test';
import { Member, Stack } from './stack';

export { expect };
export type { Member };

/** Errors that a page logs: a refused script, a failed hydration, a blocked style. */
function watch(page: Page, errors: string[]): void {
  const found = (text: string) => errors.push(`${page.url()}: ${text}`);
  page.on('console', (message) => { if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) found(message.text()); });
  page.on('pageerror', (error) => found(error.stack ?? error.message));
}

export const test = base.extend<{ errors: string[]; quiet: void; other: Page }, { stack: Stack }>({
  stack: [async ({}, use) => {
    const stack = await Stack.start();
    await use(stack);
    await stack.stop();
  }, { scope: 'worker', timeout: 60_000 }],
  // A page that logs an error fails its test.
  errors: async ({}, use) => {
    const errors: string[] = [];
    await use(errors);
    expect(errors, 'errors in the browser').toEqual([]);
  },
  quiet: [async ({ page, errors }, use) => {
    watch(page, errors);
    await use();
  }, { auto: true }],
  // A page in a browser of somebody else.
  other: async ({ browser, errors }, use) => {
    const context = await browser.newContext({ javaScriptEnabled: hasScripts() });
    const page = await context.newPage();
    watch(page, errors);
    await use(page);
    await context.close();
  },
});

export const hasScripts = () => test.info().project.name === 'js';

/** With JavaScript, waits until the page is alive. The pages before a session load no browser half. */
export async function alive(page: Page): Promise<void> {
  if (hasScripts()) await page.waitForFunction(() => document.documentElement.dataset.hydrated === 'true'
    || !document.querySelector('link[rel=modulepreload]'));
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
