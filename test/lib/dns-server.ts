/**
 * A small DNS server for tests: UDP and TCP on one loopback port, answers from records given as data. What does not fit a datagram is
 * cut, and asked for again by TCP. A name can fail, be silent, or have its questions counted.
 * Sources: RFC 1035 §4; RFC 6891 (the size that a client takes)
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from "node:net";

export interface Records {
  readonly TXT?: readonly string[];
  readonly A?: readonly string[];
  readonly AAAA?: readonly string[];
  readonly MX?: readonly (readonly [priority: number, host: string])[];
  readonly PTR?: readonly string[];
  readonly CNAME?: readonly string[];
  /** `servfail`, `refused`: an answer that is none; `silent`: no answer. */
  readonly fails?: "servfail" | "refused" | "silent";
}

/** By name, in lower case, without the last dot. */
export type Zone = Readonly<Record<string, Records>>;

const TYPES: Readonly<Record<number, keyof Omit<Records, "fails">>> = {
  1: "A",
  5: "CNAME",
  12: "PTR",
  15: "MX",
  16: "TXT",
  28: "AAAA",
};
const OPT = 41;
const CODES = { servfail: 2, nxdomain: 3, refused: 5 } as const;
const SMALL = 512;

interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: number;
  /** Octets of the question section. */
  readonly bytes: Buffer;
  readonly sizeLimit: number;
}

export class DnsServer {
  zone: Zone;
  /** Before each answer to a datagram. */
  delayMs = 0;
  /** `TYPE name` of each question, in order. */
  readonly questions: string[] = [];
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #open = new Set<Socket>();
  #isStopped = false;

  private constructor(zone: Zone, udp: UdpSocket, tcp: Server) {
    this.zone = zone;
    this.#udp = udp;
    this.#tcp = tcp;
    udp.on("message", (packet, peer) => {
      const answer = this.#answer(packet, false);
      if (answer === undefined) return;
      const send = () => udp.send(answer, peer.port, peer.address);
      if (this.delayMs === 0) send();
      else setTimeout(() => this.#isStopped || send(), this.delayMs);
    });
    tcp.on("connection", socket => this.#serve(socket));
  }

  static async start(zone: Zone): Promise<DnsServer> {
    const tcp = createServer();
    tcp.listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const { port } = tcp.address() as AddressInfo;
    const udp = createSocket("udp4");
    udp.bind(port, "127.0.0.1");
    await once(udp, "listening");
    return new DnsServer(zone, udp, tcp);
  }

  get port(): number {
    return (this.#tcp.address() as AddressInfo).port;
  }

  /** As `sender_auth.resolver` has it. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const socket of this.#open) socket.destroy();
    const closed = [once(this.#udp, "close"), once(this.#tcp, "close")];
    this.#udp.close();
    this.#tcp.close();
    await Promise.all(closed);
  }

  #serve(socket: Socket): void {
    this.#open.add(socket);
    socket.on("close", () => this.#open.delete(socket));
    socket.on("error", () => socket.destroy());
    let rest = Buffer.alloc(0);
    socket.on("data", (bytes: Buffer) => {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
        const end = 2 + rest.readUInt16BE(0);
        const answer = this.#answer(rest.subarray(2, end), true);
        rest = rest.subarray(end);
        if (answer === undefined) continue;
        const size = Buffer.alloc(2);
        size.writeUInt16BE(answer.length);
        socket.write(Buffer.concat([size, answer]));
      }
    });
  }

  #answer(packet: Buffer, isTcp: boolean): Buffer | undefined {
    const question = readQuestion(packet);
    const type = TYPES[question.type] ?? String(question.type);
    this.questions.push(`${type} ${question.name}`);
    const records = this.zone[question.name.toLowerCase()];
    if (records?.fails === "silent") return undefined;
    if (records?.fails !== undefined) return message(question, CODES[records.fails], []);
    if (records === undefined) {
      // RFC 8020: a name with others below it exists.
      const below = Object.keys(this.zone).some(name => name.endsWith(`.${question.name.toLowerCase()}`));
      return message(question, below ? 0 : CODES.nxdomain, []);
    }
    const answers = answersOf(this.zone, question, records);
    const whole = message(question, 0, answers);
    return isTcp || whole.length <= question.sizeLimit ? whole : message(question, 0, [], true);
  }
}

function readQuestion(packet: Buffer): Question {
  const labels: string[] = [];
  let at = 12;
  while ((packet[at] ?? 0) > 0) {
    const length = packet[at] ?? 0;
    labels.push(packet.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const end = at + 5;
  // An OPT record behind the question: root name, type, and the size as its class.
  const hasOpt = packet.readUInt16BE(10) > 0 && packet.readUInt16BE(end + 1) === OPT;
  return {
    id: packet.readUInt16BE(0),
    name: labels.join("."),
    type: packet.readUInt16BE(at + 1),
    bytes: packet.subarray(12, end),
    sizeLimit: hasOpt ? packet.readUInt16BE(end + 3) : SMALL,
  };
}

function answersOf(zone: Zone, question: Question, records: Records): readonly Buffer[] {
  const [alias] = records.CNAME ?? [];
  const type = TYPES[question.type];
  if (alias !== undefined && type !== "CNAME") {
    const target = zone[alias.toLowerCase()] ?? {};
    const own = record(question.name, 5, nameBytes(alias));
    return [own, ...dataOf(target, type).map(data => record(alias, question.type, data))];
  }
  return dataOf(records, type).map(data => record(question.name, question.type, data));
}

function dataOf(records: Records, type: keyof Omit<Records, "fails"> | undefined): readonly Buffer[] {
  switch (type) {
    case "TXT":
      return (records.TXT ?? []).map(text => Buffer.concat(pieces(Buffer.from(text, "latin1"))));
    case "A":
      return (records.A ?? []).map(address => Buffer.from(address.split(".").map(Number)));
    case "AAAA":
      return (records.AAAA ?? []).map(ipv6Bytes);
    case "MX":
      return (records.MX ?? []).map(([priority, host]) =>
        Buffer.concat([Buffer.from([priority >> 8, priority & 255]), nameBytes(host)]),
      );
    case "PTR":
      return (records.PTR ?? []).map(nameBytes);
    case "CNAME":
      return (records.CNAME ?? []).map(nameBytes);
    default:
      return [];
  }
}

function pieces(text: Buffer): readonly Buffer[] {
  const all: Buffer[] = [];
  for (let at = 0; at === 0 || at < text.length; at += 255) {
    const piece = text.subarray(at, at + 255);
    all.push(Buffer.from([piece.length]), piece);
  }
  return all;
}

function ipv6Bytes(address: string): Buffer {
  if (!isIPv6(address)) throw new Error(`no IPv6 address: ${address}`);
  const [head = "", tail] = address.split("::");
  const groups = (text: string) =>
    text === "" ? [] : text.split(":").map(group => Number.parseInt(group, 16));
  const [before, after] = [groups(head), groups(tail ?? "")];
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  return Buffer.from([...before, ...Array<number>(zeros).fill(0), ...after].flatMap(g => [g >> 8, g & 255]));
}

function nameBytes(name: string): Buffer {
  const labels = name.split(".").filter(label => label !== "");
  return Buffer.concat([
    ...labels.flatMap(label => [Buffer.from([label.length]), Buffer.from(label, "latin1")]),
    Buffer.from([0]),
  ]);
}

function record(name: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(60, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([nameBytes(name), fixed, data]);
}

function message(question: Question, code: number, answers: readonly Buffer[], isCut = false): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(question.id, 0);
  // Response, recursion wanted and there.
  header.writeUInt16BE(0x8180 | (isCut ? 0x0200 : 0) | code, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  return Buffer.concat([header, question.bytes, ...answers]);
}
