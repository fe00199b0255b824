/** The five fields of a schedule, as crontab(5) has them: lists of `*`, numbers and ranges, each with a step. Names are not taken. Pure. */

const FIELDS: ReadonlyArray<readonly [name: string, min: number, max: number]> = [
  ["minute", 0, 59],
  ["hour", 0, 23],
  ["day of the month", 1, 31],
  ["month", 1, 12],
  ["day of the week", 0, 7],
];

/** @returns what is wrong; undefined: nothing */
export function scheduleProblem(schedule: string): string | undefined {
  const fields = schedule.split(" ");
  for (const [i, [name, min, max]] of FIELDS.entries()) {
    const field = fields[i] ?? "";
    if (!field.split(",").every(part => fits(part, min, max)))
      return `five cron fields such as "0 6 1 * *"; the ${name} "${field}" is none of ${min} to ${max}, *, ranges and steps`;
  }
  return undefined;
}

function fits(part: string, min: number, max: number): boolean {
  const match = /^(?:\*|(\d{1,2})(?:-(\d{1,2}))?)(?:\/(\d{1,2}))?$/u.exec(part);
  if (match === null) return false;
  const [, first, last, step] = match;
  const from = first === undefined ? min : Number(first);
  const to = last === undefined ? from : Number(last);
  return from >= min && from <= max && to >= from && to <= max && (step === undefined || Number(step) > 0);
}
