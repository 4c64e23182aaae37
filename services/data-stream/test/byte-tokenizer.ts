import { GradpoolError } from "@gradpool/errors";
import {
  service,
  startServer,
  TokenizerServiceService,
  type CallContext,
  type ChatTemplate,
  type EncodeRequest,
  type EncodeResponse,
  type RunningServer,
} from "@gradpool/rpc";
import { key } from "./key.js";

export const EOS = 256;
export const PAD = 257;

/** A TokenizerService whose ids are the text's UTF-8 bytes. It counts its requests. */
export class ByteTokenizer implements AsyncDisposable {
  /** Called before each answer; may wait or throw. */
  beforeAnswer: (context: CallContext) => Promise<void> = async () => {};
  hash = "bytes";
  chatTemplate: ChatTemplate | undefined;
  truncationSide = "right";
  /** Of the last request. */
  noSpecialTokens = false;
  readonly requestBytes: number[] = [];
  readonly texts: string[] = [];
  #server: RunningServer | undefined;
  #address = "127.0.0.1:0";

  static async start(listen = "127.0.0.1:0"): Promise<ByteTokenizer> {
    const tokenizer = new ByteTokenizer();
    tokenizer.#address = listen;
    await tokenizer.listen();
    return tokenizer;
  }

  get address(): string {
    return this.#address;
  }

  /** Starts, at the same address as before. */
  async listen(): Promise<void> {
    this.#server = await startServer({
      key,
      listen: this.#address,
      services: [
        service(TokenizerServiceService, {
          getTokenizer: async ({ tokenizer }) => {
            if (tokenizer?.modelId !== "bytes") throw new GradpoolError("not_found", "no such tokenizer");
            return { info: this.#info() };
          },
          encode: (requests, context) => this.#encode(requests, context),
          decode: () => Promise.reject(new GradpoolError("unimplemented", "not needed")),
          getTokenizerFiles: () => {
            throw new GradpoolError("unimplemented", "not needed");
          },
        }),
      ],
      onInternalError: (error) => {
        throw error;
      },
    });
    this.#address = this.#server.address;
  }

  async stop(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #info() {
    return {
      tokenizerHash: this.hash,
      vocabSize: 258,
      eosId: EOS,
      eosToken: "<eos>",
      padId: PAD,
      padToken: "<pad>",
      padTokenAdded: false,
      truncationSide: this.truncationSide,
      chatTemplate: this.chatTemplate,
      notes: [],
    };
  }

  async *#encode(requests: AsyncIterable<EncodeRequest>, context: CallContext): AsyncGenerator<EncodeResponse> {
    let idsOfText = 0;
    for await (const { tokenizer, texts, continues, maxTokens, noSpecialTokens = false } of requests) {
      this.noSpecialTokens = noSpecialTokens;
      if (tokenizer?.tokenizerHash !== this.hash) throw new GradpoolError("failed_precondition", "another tokenizer");
      this.requestBytes.push(Buffer.byteLength(texts.join("")));
      await this.beforeAnswer(context);
      this.texts.push(...texts);
      const encoded = texts.map((text) => {
        const left = maxTokens === 0 ? Infinity : Math.max(0, maxTokens - idsOfText);
        const ids = Buffer.from(text).subarray(0, left);
        idsOfText = continues ? idsOfText + ids.length : 0;
        return ids;
      });
      const all = Int32Array.from(Buffer.concat(encoded));
      const lengths = encoded.map(({ length }) => length);
      yield { ids: new Uint8Array(all.buffer), lengths, continues };
    }
  }
}
