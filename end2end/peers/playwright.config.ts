// The long run against EHR software not written by us: scripts/test peers.
import base from '../playwright.config';

export default { ...base, testDir: '.', outputDir: '../../test-results', workers: 1 };
