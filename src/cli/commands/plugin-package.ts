/** `mairust plugin package|keygen|sign|verify`: without a service. Files are read whole, up to a limit, and written all or not at all. */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, rename, stat, unlink } from "node:fs/promises";
import { SIGNATURE_ROLES, type SignatureRole } from "../../wire/plugin-package.ts";
import type { CheckedSignature, MadePackage, PackageFacts } from "../../wire/plugin-package-calls.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, type ExitCode, exitCodeOf, usageError } from "../exit-codes.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, printRecord, printRows } from "../output.ts";
import { printable, sizeText } from "../text.ts";

/** Octets of a key file: more is something else that was given by mistake. */
const MAX_KEY_BYTES = 16_384;
/** Others than the owner may read the private key. */
const OTHERS = 0o077;

type Shown = PackageFacts & { readonly file: string };

const COLUMNS: readonly Column<Shown>[] = [
  { title: "package", value: p => p.file },
  { title: "plugin", value: p => p.id },
  { title: "version", value: p => p.version },
  { title: "files", value: p => p.files },
  {
    title: "size",
    value: p => p.packed_bytes,
    shown: p => `${sizeText(p.packed_bytes)}, ${sizeText(p.unpacked_bytes)} unpacked`,
  },
  { title: "sha256", value: p => p.sha256 },
];

const SIGNATURE_COLUMNS: readonly Column<CheckedSignature>[] = [
  { title: "ROLE", value: s => s.role },
  { title: "KEY", value: s => s.key_id },
  { title: "ALGORITHM", value: s => s.algorithm },
  { title: "SIGNATURE", value: s => MEANING[s.verdict] },
];

const MEANING: Readonly<Record<CheckedSignature["verdict"], string>> = {
  "given key": "good",
  "own key": "good, by the key in the package",
  bad: "does not fit",
  "unknown key": "not checked: give its --key",
};

export async function pack(context: CommandContext): Promise<void> {
  const { args, options, terminal, standalone } = context;
  const folder = requiredArg(args, 0, "the plugin's folder");
  const engines = await standalone.packages();
  const made = await about(folder, () => engines.pack(folder));
  const file = options.text("out") ?? `${made.facts.id}-${made.facts.version}.mairust-plugin`;
  await writeResult(context, file, made, options.has("force"));
  if (made.leftOut.length > 0) terminal.err(`left out: ${printable(made.leftOut.join(", "))}\n`);
  for (const note of made.notes) terminal.err(`note: ${printable(note)}\n`);
}

export async function sign(context: CommandContext): Promise<void> {
  const { args, options, terminal, standalone } = context;
  const file = requiredArg(args, 0, "the package");
  const keyFile = options.text("key");
  if (keyFile === undefined) throw usageError("--key is missing: the private key to sign with");
  const engines = await standalone.packages();
  const bytes = await readFileUpTo(file, engines.maxPackedBytes);
  const pem = (await readFileUpTo(keyFile, MAX_KEY_BYTES)).toString("latin1");
  const role = roleOf(options.text("role"));
  const made = await aboutKey(keyFile, () => about(file, () => engines.sign(bytes, pem, role)));
  if (((await stat(keyFile)).mode & OTHERS) !== 0)
    terminal.err(`note: others on this host may read ${printable(keyFile)}; "chmod 600" keeps it yours\n`);
  const out = options.text("out");
  await writeResult(context, out ?? file, made, out === undefined || options.has("force"));
  terminal.err(`signed with ${made.algorithm} key ${made.keyId}\n`);
}

export async function verify({
  args,
  options,
  terminal,
  format,
  standalone,
}: CommandContext): Promise<ExitCode> {
  const file = requiredArg(args, 0, "the package");
  const engines = await standalone.packages();
  const keys: { readonly keyFile: string; readonly pem: string; readonly id: string }[] = [];
  for (const keyFile of options.texts("key")) {
    const pem = (await readFileUpTo(keyFile, MAX_KEY_BYTES)).toString("latin1");
    keys.push({ keyFile, pem, id: await aboutKey(keyFile, async () => engines.keyId(pem)) });
  }
  const bytes = await readFileUpTo(file, engines.maxPackedBytes);
  const pems = keys.map(({ pem }) => pem);
  const { facts, signatures } = await about(file, () => engines.check(bytes, pems));
  const shown = { ...facts, file };
  if (format === "table") {
    printRecord(terminal, format, shown, COLUMNS);
    if (signatures.length > 0) {
      terminal.out("\n");
      printRows(terminal, format, signatures, SIGNATURE_COLUMNS);
    }
  } else if (format === "tab") printRows(terminal, format, signatures, SIGNATURE_COLUMNS);
  else printRecord(terminal, format, { ...shown, signatures: [...signatures] }, []);
  const problems = [
    ...signatures
      .filter(({ verdict }) => verdict === "bad")
      .map(s => `the ${s.role}'s signature does not fit the files`),
    ...keys
      .filter(({ id }) => !signatures.some(s => s.key_id === id))
      .map(k => `${k.keyFile} did not sign it`),
  ];
  if (signatures.length === 0) terminal.err("nobody signed it\n");
  for (const problem of problems) terminal.err(`mairust: ${printable(problem)}\n`);
  return problems.length > 0 ? EXIT.failed : EXIT.ok;
}

export async function keygen({ args, terminal, standalone }: CommandContext): Promise<void> {
  const file = requiredArg(args, 0, "the file for the private key");
  const key = (await standalone.packages()).makeKey();
  // Never over another key: packages could not be updated any more.
  await writeFileWhole(file, Buffer.from(key.privatePem), { mode: 0o600, force: false });
  await writeFileWhole(`${file}.pub`, Buffer.from(key.publicPem), { mode: 0o644, force: false }).catch(
    async (error: unknown) => {
      await unlink(file);
      throw error;
    },
  );
  terminal.out(`${key.id}\n`);
  terminal.err(
    `private key in ${printable(file)}: keep it and a copy of it, updates of your plugins need it\n` +
      `public key in ${printable(`${file}.pub`)}: for whoever is to trust you\n`,
  );
}

async function writeResult(
  context: CommandContext,
  file: string,
  made: MadePackage,
  force: boolean,
): Promise<void> {
  const { options, terminal, format } = context;
  const dryRun = options.has("dryRun");
  if (!dryRun) await writeFileWhole(file, made.bytes, { mode: 0o644, force });
  printRecord(terminal, format, { ...made.facts, file }, COLUMNS);
  if (dryRun) terminal.err("nothing was written\n");
}

function roleOf(text = "developer"): SignatureRole {
  const role = SIGNATURE_ROLES.find(one => one === text);
  if (role === undefined) throw usageError(`--role takes developer or marketplace, not "${text}"`);
  return role;
}

/** Every problem of a package on a line of its own, under the name of its file. */
async function about<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error && "code" in error && "problems" in error)) throw error;
    const problems: readonly unknown[] = Array.isArray(error.problems) ? error.problems : [];
    const texts = problems.filter(text => typeof text === "string");
    if (texts.length === 0) throw error;
    const text = texts.length === 1 ? `: ${texts[0]}` : `:\n  ${texts.join("\n  ")}`;
    throw new CommandError(exitCodeOf(error.code), `${file}${text}`, error);
  }
}

/** What is wrong with a key is said with its file. */
async function aboutKey<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isKey = error instanceof Error && error.message.startsWith("Cannot use key: ");
    if (!isKey) throw error;
    throw new CommandError(EXIT.badData, `${file}: ${error.message.replace("Cannot use key: ", "")}`, error);
  }
}

async function readFileUpTo(file: string, maxBytes: number): Promise<Buffer> {
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const info = await handle.stat();
      if (!info.isFile()) throw new CommandError(EXIT.noInput, `${file} is no file`);
      const buffer = Buffer.alloc(Math.min(info.size, maxBytes) + 1);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
      if (bytesRead > maxBytes)
        throw new CommandError(EXIT.badData, `${file} has more than ${sizeText(maxBytes)}`);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileError(error, `cannot read ${file}`, EXIT.noInput);
  }
}

/** Beside it first, then into its place; without `force` never over what is there. */
async function writeFileWhole(
  file: string,
  bytes: Uint8Array,
  { mode, force }: { readonly mode: number; readonly force: boolean },
): Promise<void> {
  if (!force) await takeName(file);
  const beside = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    const handle = await open(beside, "wx", mode);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, file);
  } catch (error) {
    await Promise.allSettled([unlink(beside), ...(force ? [] : [unlink(file)])]);
    throw fileError(error, `cannot write ${file}`, EXIT.cannotCreate);
  }
}

/** With an empty file: nobody else gets the name meanwhile. */
async function takeName(file: string): Promise<void> {
  try {
    await (await open(file, "wx", 0o600)).close();
  } catch (error) {
    const isThere = error instanceof Error && "code" in error && error.code === "EEXIST";
    const text = `${file} is there already; nothing was written`;
    throw isThere
      ? new CommandError(EXIT.cannotCreate, text, error)
      : fileError(error, `cannot write ${file}`, EXIT.cannotCreate);
  }
}

function fileError(error: unknown, what: string, code: ExitCode): CommandError {
  if (error instanceof CommandError) return error;
  const known: Readonly<Record<string, string>> = {
    ENOENT: "there is no such file or folder",
    EACCES: "this user may not",
    EISDIR: "it is a folder",
  };
  const errno = error instanceof Error && "code" in error ? String(error.code) : "it failed";
  return new CommandError(code, `${what}: ${known[errno] ?? errno}`, error);
}
