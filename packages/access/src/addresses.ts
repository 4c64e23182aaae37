import { networkInterfaces } from "node:os";

/** Of "host:port". */
export function hostAndPort(address: string): { host: string; port: string } {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, "$1"), port: address.slice(colon + 1) };
}

/** Whether nobody else's machine can answer there. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Whether it is an address of this machine itself. */
export function isThisMachine(host: string): boolean {
  const own = () => Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));
  return isLoopback(host) || own().includes(host);
}
