import { GradpoolError } from "@gradpool/errors";
import {
  service,
  startServer,
  TokenizerServiceService,
  type EncodeRequest,
  type EncodeResponse,
  type RunningServer,
  type TokenizerInfo,
} from "@gradpool/rpc";
import { key } from "./key.js";

/** A TokenizerService of any model: ids are the text's UTF-8 bytes, 256 ends a sequence, 257 pads. */
export class ByteTokenizer implements AsyncDisposable {
  info: TokenizerInfo = {
    tokenizerHash: "bytes",
    vocabSize: 258,
    eosId: 256,
    eosToken: "<eos>",
    padId: 257,
    padToken: "<|pad|>",
    padTokenAdded: true,
    notes: [],
    truncationSide: "right",
  };
  /** Awaited before a tokenizer is described. */
  beforeInfo: () => Promise<void> = async () => {};
  /** Awaited before each batch of texts is encoded. */
  beforeEncode: () => Promise<void> = async () => {};
  #server: RunningServer | undefined;

  static async start(): Promise<ByteTokenizer> {
    const tokenizer = new ByteTokenizer();
    await tokenizer.listen("127.0.0.1:0");
    return tokenizer;
  }

  get address(): string {
    if (!this.#server) throw new Error("the tokenizer does not listen");
    return this.#server.address;
  }

  async listen(address: string): Promise<void> {
    this.#server = await startServer({
      key,
      listen: address,
      services: [
        service(TokenizerServiceService, {
          getTokenizer: async () => {
            await this.beforeInfo();
            return { info: this.info };
          },
          encode: (requests) => this.#encode(requests),
          decode: () => Promise.reject(new GradpoolError("unimplemented", "not needed")),
          async *getTokenizerFiles() {
            for (const piece of ["{", "}"]) yield { path: "tokenizer.json", data: Buffer.from(piece) };
          },
        }),
      ],
      onInternalError: (error) => {
        throw error;
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
  }

  async *#encode(requests: AsyncIterable<EncodeRequest>): AsyncGenerator<EncodeResponse> {
    for await (const { texts, continues } of requests) {
      await this.beforeEncode();
      const encoded = texts.map((text) => Int32Array.from(Buffer.from(text)));
      const ids = Buffer.concat(encoded.map((part) => Buffer.from(part.buffer)));
      yield { ids, lengths: encoded.map((part) => part.length), continues };
    }
  }
}
