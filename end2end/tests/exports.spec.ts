import { accessible, alive, expect, fits, hasScripts, signIn, test } from '../fixtures';
import type { Locator, Page } from '@playwright/test';
import type { Stack } from '../stack';

const types = ['Patient', 'Observation', 'Encounter'];

/** A practice that may export, with its owner on the page of exports. */
async function open(page: Page, stack: Stack, allowed = true): Promise<{ name: string }> {
  const { name, member } = stack.practice();
  await stack.configureExports(name, allowed);
  await signIn(page, stack, member);
  await page.getByRole('link', { name: 'Bulk exports' }).first().click();
  await live(page);
  return { name };
}

/** With scripts, waits until the events come. */
async function live(page: Page): Promise<void> {
  await expect(page.locator('h1')).toHaveText('Bulk exports');
  await alive(page);
  if (hasScripts()) await expect(page.locator('#exports')).toHaveAttribute('data-live', 'on');
}

async function start(page: Page): Promise<Locator> {
  const details = page.locator('#start');
  if (!await details.evaluate((element) => (element as HTMLDetailsElement).open)) await details.locator('> summary').click();
  await page.click('#start-export');
  await expect(page.getByRole('status').filter({ hasText: 'Export started' }).first()).toBeVisible();
  await live(page);
  return page.locator('[data-export]').first();
}

/** Waits for words on a card: with scripts they come by themselves, without by the link. */
async function until(page: Page, card: Locator, words: string | RegExp): Promise<void> {
  if (hasScripts()) {
    await expect(card).toContainText(words, { timeout: 30_000 });
    return;
  }
  await expect(async () => {
    await page.getByRole('link', { name: 'Reload', exact: true }).click();
    await expect(card).toContainText(words, { timeout: 500 });
  }).toPass({ timeout: 30_000 });
}

/** Nothing was loaded anew since. */
async function mark(page: Page): Promise<() => Promise<void>> {
  if (!hasScripts()) return async () => {};
  await page.evaluate(() => { (window as unknown as { mark: boolean }).mark = true; });
  return async () => expect(await page.evaluate(() => (window as unknown as { mark?: boolean }).mark), 'the page stayed').toBe(true);
}

async function looks(page: Page): Promise<void> {
  await accessible(page);
  for (const width of [320, 768, 1200]) {
    await page.setViewportSize({ width, height: 900 });
    await fits(page);
  }
}

test.afterEach(async ({ stack }) => stack.personality({}));

test('an export runs to its end while one watches', async ({ page, stack }) => {
  await stack.personality({ bulk: { polls: 3, progress: 'preparing the files', lines_per_file: 100, synthetic: { resources: 900, types } } });
  await open(page, stack);
  await expect(page.locator('#exports')).toContainText('No exports yet');
  await looks(page);
  await page.fill('#field-types', 'Patient, Observation Encounter');
  const card = await start(page);
  const stayed = await mark(page);
  await expect(card).toContainText('All patients, Generic SMART on FHIR');
  await expect(card).toContainText('Patient, Observation, Encounter');
  await until(page, card, 'preparing the files');
  await expect(card).toContainText('The EHR asked for 1 second.');
  await until(page, card, 'Complete');
  await expect(card).toHaveAttribute('data-state', 'complete');
  await expect(card.locator('[data-type=Patient]')).toBeVisible();
  await expect(card.locator('dl')).toContainText(/Records taken in[1-9]/);
  await expect(card.locator('dl')).toContainText('Lines not taken in0');
  if (hasScripts()) await expect(page.locator('#live')).toContainText('Complete');
  await stayed();
  await looks(page);

  // The next one, only of what is new.
  await page.locator('#start > summary').click();
  await page.getByLabel('What is new').check();
  await page.fill('#field-types', types.join(' '));
  await page.click('#start-export');
  await expect(page.locator('[data-export]')).toHaveCount(2);
  await expect(card).toContainText('changed since 20');
  await until(page, card, 'Complete');
});

test('an export is paused, resumed, cancelled and removed', async ({ page, other, stack }) => {
  await stack.personality({ bulk: { polls: 1_000, retry_after_seconds: 7_200 } });
  const { name } = await open(page, stack);
  const card = await start(page);
  await until(page, card, 'The EHR asked for 2 hours; we ask in 5 minutes.');
  await expect(card).toContainText(/Next step in [45] min/);
  await looks(page);

  // Somebody else watches.
  await signIn(other, stack, stack.member(name, 'admin'));
  await other.goto(`${stack.app}/exports`);
  await live(other);
  const watched = other.locator('[data-export]').first();
  await expect(watched).toContainText('EHR is preparing');

  const stayed = await mark(page);
  await card.getByRole('button', { name: 'Pause' }).click();
  await expect(card).toContainText('Paused');
  await until(other, watched, 'Paused');
  await card.getByRole('button', { name: 'Resume' }).click();
  await expect(card).toContainText('EHR is preparing');
  await until(other, watched, 'EHR is preparing');
  await card.getByText('Cancel export').click();
  await expect(card).toContainText('It cannot be resumed.');
  await looks(page);
  await card.getByRole('button', { name: 'Cancel it' }).click();
  await until(page, card, 'Cancelled');
  await until(other, watched, 'Cancelled');
  await card.getByText('Remove', { exact: true }).click();
  await card.getByRole('button', { name: 'Remove it' }).click();
  await expect(page.locator('#exports')).toContainText('No exports yet');
  await stayed();
  await page.goto(`${stack.app}/audit`);
  for (const words of ['Export started', 'Export paused', 'Export resumed', 'Export cancelled', 'Export deleted']) {
    await expect(page.locator('main')).toContainText(words);
  }
});

test('a file that failed is fetched again', async ({ page, stack }) => {
  await stack.personality({ bulk: { polls: 0, lines_per_file: 50, synthetic: { resources: 300, types } } });
  await open(page, stack);
  await stack.fault('bulk_file', { status: 403 });
  const card = await start(page);
  await until(page, card, 'Complete, with errors');
  await expect(card).toContainText('1 failed');
  await expect(card.locator('[data-problem=scope_denied]')).toContainText(/File \d+, \w+:.*status 403/);
  await looks(page);
  const stayed = await mark(page);
  await card.getByRole('button', { name: /Fetch again: File \d+/ }).click();
  await until(page, card, /Files(\d+) of \1Records/);
  await expect(card).toHaveAttribute('data-state', 'complete');
  await stayed();
});

test('an export that the EHR refuses says why', async ({ page, stack }) => {
  await stack.personality({ bulk: { polls: 0, fails: 500 } });
  await open(page, stack);
  const card = await start(page);
  await until(page, card, 'Failed');
  await expect(card.locator('[data-problem=bulk_failed]')).toContainText('The EHR could not complete the export.');
  await looks(page);
});

test('a refused form keeps what was typed', async ({ page, stack }) => {
  await open(page, stack);
  await page.getByLabel('A group').check();
  await page.getByLabel('Since a time').check();
  await page.fill('#field-since', 'last week');
  await page.fill('#field-types', 'Patient observation');
  await page.locator('#more-options > summary').click();
  await page.fill('#field-typeFilters', 'Observation?category=laboratory');
  await page.click('#start-export');
  await expect(page.locator('#problem')).toContainText('Group id');
  await expect(page.locator('#field-groupId')).toHaveAttribute('aria-invalid', 'true');
  await expect(page.locator('#field-since')).toHaveValue('last week');
  await expect(page.locator('#field-types')).toHaveValue('Patient observation');
  await expect(page.locator('#field-typeFilters')).toHaveValue('Observation?category=laboratory');
  await looks(page);
  await page.fill('#field-groupId', 'nobody');
  await page.fill('#field-since', '2026-01-01');
  await page.fill('#field-types', 'Patient');
  await page.fill('#field-typeFilters', '');
  await page.click('#start-export');
  await expect(page.locator('[data-export]').first()).toContainText('Group nobody');
  await expect(page.locator('[data-export]').first()).toContainText('changed since 2026-01-01 00:00 UTC');
});

test('where exports are switched off, the page leads to the switch', async ({ page, stack }) => {
  await open(page, stack, false);
  await expect(page.locator('#closed')).toContainText('Bulk export is switched off');
  await expect(page.locator('#start')).toHaveCount(0);
  await looks(page);
  await page.setViewportSize({ width: 1200, height: 900 });
  await page.getByRole('link', { name: 'Open the switch' }).click();
  await alive(page);
  await page.check('#field-enable_bulk_export');
  await page.click('#save');
  await expect(page.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();
  await page.goto(`${stack.app}/exports`);
  await expect(page.locator('#start-export')).toBeVisible();
});

test('clinicians have no exports', async ({ page, stack }) => {
  const { member } = stack.practice('clinician');
  await signIn(page, stack, member);
  await expect(page.getByRole('link', { name: 'Bulk exports' })).toHaveCount(0);
  await page.goto(`${stack.app}/exports`);
  await expect(page.locator('#problem')).toContainText('You may not do this.');
});
