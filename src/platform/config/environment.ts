/** The only place that reads the process's environment. */

export type Environment = Readonly<Record<string, string | undefined>>;

/** @returns the environment of this process; configuration takes it as an argument, so that tests can bring their own */
export function processEnvironment(): Environment {
  return process.env;
}
