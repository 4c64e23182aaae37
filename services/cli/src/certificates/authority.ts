/** A private authority and the certificates it signs: ECDSA keys on P-256, X.509 version 3 (RFC 5280). */
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import * as x509 from "@peculiar/x509";

export interface SignedCertificate {
  /** PEM. */
  certificate: string;
  /** Private key, PEM (PKCS #8). */
  key: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;
const AUTHORITY_DAYS = 3650;
/** Apple's systems refuse certificates of servers that are valid for longer. */
const CERTIFICATE_DAYS = 397;
/** For clocks that are slow. */
const EARLIER_MS = 3_600_000;

export class Authority {
  private constructor(
    readonly certificate: x509.X509Certificate,
    private readonly key: webcrypto.CryptoKey,
  ) {}

  /** A new one. */
  static async create(): Promise<Authority> {
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      ...validity(AUTHORITY_DAYS),
      name: `CN=gradpool authority ${new Date().toISOString().slice(0, 10)}`,
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        // It signs certificates, and no further authorities.
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new Authority(certificate, keys.privateKey);
  }

  /** The one in these PEM texts. Errors: plain ones of the parser. */
  static async read({ certificate, key }: SignedCertificate): Promise<Authority> {
    const der = x509.PemConverter.decodeFirst(key);
    const signing = await webcrypto.subtle.importKey("pkcs8", der, ALGORITHM, true, ["sign"]);
    return new Authority(new x509.X509Certificate(certificate), signing);
  }

  async pem(): Promise<SignedCertificate> {
    return { certificate: this.certificate.toString("pem") + "\n", key: await keyPem(this.key) };
  }

  /**
   * Signs a new key's certificate. With `hosts`, names and addresses, servers may use it, and clients too: services call
   * each other. Without, only clients may.
   */
  async sign(name: string, hosts: readonly string[]): Promise<SignedCertificate> {
    const keys = await newKeys();
    const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
    const names = hosts.map((value) => ({ type: isIP(value) ? ("ip" as const) : ("dns" as const), value }));
    const certificate = await x509.X509CertificateGenerator.create({
      ...validity(CERTIFICATE_DAYS),
      subject: `CN=${name}`,
      issuer: this.certificate.subject,
      publicKey: keys.publicKey,
      signingKey: this.key,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(hosts.length > 0 ? [serverAuth, clientAuth] : [clientAuth]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(this.certificate),
        ...(hosts.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
      ],
    });
    return { certificate: certificate.toString("pem") + "\n", key: await keyPem(keys.privateKey) };
  }
}

const newKeys = () => webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);

const keyPem = async (key: webcrypto.CryptoKey) =>
  x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY") + "\n";

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - EARLIER_MS), notAfter: new Date(now + days * DAY_MS) };
}

/** The names in a certificate, for one that replaces it. */
export function hostsOf(certificate: string): string[] {
  const names = new x509.X509Certificate(certificate).getExtension(x509.SubjectAlternativeNameExtension);
  return names?.names.items.map(({ value }) => value) ?? [];
}
