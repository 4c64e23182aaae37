/** Addresses to listen on. */
import { isIP, isIPv6 } from "node:net";

export interface ListenAddress {
  /** A name or an IP address, without brackets. */
  host: string;
  /** Undefined when the text has none. */
  port: number | undefined;
}

const LAST_PORT = 65_535;
/** RFC 1123, with underscores, which container networks use. */
const HOST_NAME = /^(?!-)[\w-]{1,63}(\.[\w-]{1,63})*$/;
/** What looks like an IPv4 address is one or a mistake. */
const NUMBERS = /^[\d.]+$/;

/**
 * HOST or HOST:PORT; an IPv6 address may stand alone ("::1") or in brackets ("[::1]:7070"), where a port needs them.
 * Undefined for any other text.
 */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (isIPv6(text)) return { host: text, port: undefined };
  const [, bracketed, plain = "", digits] = /^(?:\[([^\]]*)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const isHost = bracketed === undefined ? isIP(host) === 4 || isName(host) : isIPv6(host);
  const port = digits === undefined ? undefined : Number(digits);
  return isHost && (port ?? 0) <= LAST_PORT ? { host, port } : undefined;
}

const isName = (host: string): boolean => HOST_NAME.test(host) && !NUMBERS.test(host);

/** "host:port", an IPv6 address in brackets. */
export function formatAddress(host: string, port: number): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** Where this machine reaches what listens at `address`: a wildcard is not an address to dial. */
export function dialAddress(address: string): string {
  const { host = "", port = 0 } = parseListenAddress(address) ?? {};
  if (host === "0.0.0.0") return `127.0.0.1:${port}`;
  return host === "::" ? `[::1]:${port}` : address;
}
