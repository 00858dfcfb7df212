import { wakeUpsConformance } from './testing/wake-ups-conformance.ts';
import { wakeUpsWithinProcess } from './wake-ups.ts';

wakeUpsConformance({
  name: 'within a process',
  node: () => ({ wakeUps: wakeUpsWithinProcess(), logLines: [] }),
});
