/** TLS of both sides, from certificate files that may be renewed while the process runs. */
import { isIP } from "node:net";
import { checkServerIdentity as identityError, type PeerCertificate } from "node:tls";
import { hostAndPort, type Certificates, type TlsMaterial } from "@gradpool/access";
import {
  credentials,
  experimental,
  ServerCredentials,
  type ChannelCredentials,
  type ChannelOptions,
} from "@grpc/grpc-js";

/** Clients must show a certificate of the same authority. */
export function serverCredentials(tls: Certificates | undefined): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure();
  const provider = new Provider(tls);
  return experimental.createCertificateProviderServerCredentials(provider, provider, true);
}

/** Of a client of the server at `address` ("host:port"), whose certificate must name that host. */
export function channelCredentials(
  address: string,
  tls: Certificates | undefined,
): { credentials: ChannelCredentials; options: ChannelOptions } {
  if (!tls) return { credentials: credentials.createInsecure(), options: {} };
  const provider = new Provider(tls);
  const { host } = hostAndPort(address);
  if (!isIP(host)) {
    return { credentials: experimental.createCertificateProviderChannelCredentials(provider, provider), options: {} };
  }
  // TLS names no addresses (RFC 6066), and Node warns of them: the certificate is compared here.
  const verify = {
    checkServerIdentity: (_name: string, certificate: PeerCertificate) => identityError(host, certificate),
  };
  return {
    credentials: experimental.createCertificateProviderChannelCredentials(provider, provider, verify),
    options: { "grpc.ssl_target_name_override": "address.invalid" },
  };
}

/** As grpc-js wants it: a listener hears what is there, and each renewal. */
class Provider implements experimental.CertificateProvider {
  readonly #tellOf = new Map<unknown, (material: TlsMaterial) => void>();

  constructor(private readonly certificates: Certificates) {}

  addCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#add(listener, ({ ca }) => listener({ caCertificate: ca }));
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#add(listener, ({ cert, key }) => listener({ certificate: cert, privateKey: key }));
  }

  removeCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#remove(listener);
  }

  removeIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#remove(listener);
  }

  #add(listener: unknown, tell: (material: TlsMaterial) => void): void {
    this.#tellOf.set(listener, tell);
    this.certificates.onRenewal(tell);
    process.nextTick(() => this.#tellOf.has(listener) && tell(this.certificates.material));
  }

  #remove(listener: unknown): void {
    const tell = this.#tellOf.get(listener);
    if (tell) this.certificates.offRenewal(tell);
    this.#tellOf.delete(listener);
  }
}
