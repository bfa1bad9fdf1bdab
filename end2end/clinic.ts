// A practice whose EHR launches us. The EHR is on 127.0.0.1 and we on localhost: another site, so only
// partitioned cookies come back in its frames.
import { FrameLocator, Page } from '@playwright/test';
import { alive, expect, Member, signIn, test as base } from './fixtures';
import { Stack } from './stack';

export type Clinic = { stack: Stack; owner: Member };

/** A practice that has the sandbox as its EHR. `sandbox`: further arguments of it. */
export async function open(sandbox: string[] = []): Promise<Clinic> {
  const stack = await Stack.start(sandbox);
  const owner = stack.member('North Clinic', 'owner');
  await stack.configure('North Clinic');
  return { stack, owner };
}

// One practice alone has the sandbox as its EHR, so the launch URL need not name it.
export const test = base.extend<object, { clinic: Clinic }>({
  clinic: [async ({}, use) => {
    const clinic = await open();
    await use(clinic);
    await clinic.stack.stop();
  }, { scope: 'worker', timeout: 60_000 }],
});

/** Opens a chart of the sandbox EHR and the application in it. */
export async function chart(page: Page, stack: Stack, patient: string, user = 'dr.river'): Promise<FrameLocator> {
  await page.goto(`${stack.ehr}/ehr`);
  await page.selectOption('#patient', patient);
  await page.selectOption('#client', 'demo-secret');
  await page.selectOption('#user', user);
  await page.click('#open');
  return page.frameLocator('#app');
}

/** The address that the EHR's frame opens. */
export async function launchUrl(stack: Stack, patient: string, more: object = {}): Promise<string> {
  const order = { client_id: 'demo-secret', patient, need_patient_banner: true, ...more };
  const answer = await fetch(`${stack.ehr}/ehr/launch`, { method: 'POST', body: JSON.stringify(order) });
  return ((await answer.json()) as { url: string }).url;
}

/** A page with frames of these addresses, in the place of the one at `at`. */
export async function frames(page: Page, at: string, urls: string[]): Promise<FrameLocator[]> {
  await page.goto(at);
  const body = urls.map((url, index) => `<iframe id="f${index}" title="app ${index}" width="600" height="500" src="${url.replaceAll('&', '&amp;')}"></iframe>`);
  await page.evaluate((html) => { document.body.innerHTML = html; }, body.join(''));
  return urls.map((_, index) => page.frameLocator(`#f${index}`));
}

/** The practice approves everyone whom its EHR sends. */
export async function approveEveryone(page: Page, { stack, owner }: Clinic): Promise<void> {
  await signIn(page, stack, owner);
  await page.goto(`${stack.app}/launches`);
  await alive(page);
  await page.check('#field-auto_approve');
  await page.click('#save-rules');
  await expect(page.getByRole('status').filter({ hasText: /saved/i }).first()).toBeVisible();
}
