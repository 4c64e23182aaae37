import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "./folders.js";

/** What texts are put together from: scripts, emoji, whitespace, controls, contractions, special tokens. */
const BITS = [
  ..." |  |   |\n|\n\n|\r\n|\t|\u00a0|\u3000|\u2028|\u0085|\ufeff|\0|\u001b|\u007f|\u200b|\u200d|\u00ad".split("|"),
  ..."a|the|It's|WE'LL|'ſ|don't|Größe|naïve|e\u0301te\u0301|ﬁn|İ|Ελληνικά|русский|中文字符|日本語の|한국어|हिन्दी|ไทย|العربية|עברית".split(
    "|",
  ),
  ..."1|23|12345|½|²|Ⅷ|١٢٣|३४|①|!|?!|==|=>|// |/* */|<|>|(){}[];|…|—|€|©|\u{1d54f}|𠀀|\u{10ffff}|\ue000".split("|"),
  ..."🎉|👩‍👩‍👧|🇩🇪|👍🏽|☃️|#️⃣".split("|"),
  ..."<|endoftext|>~<|endoftext~<|im_start|>~<|begin_of_text|>~<|eot_id|>~<mask>~<|sep|>~<|both|>~word~<a~<b>~aa~return~été~<unk>~whole~xyzzy".split(
    "~",
  ),
];

/** Numbers below a bound, the same for the same seed (a linear congruential generator). */
export function generator(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** Texts of mixed bits, of about this many bytes of UTF-8 in all. */
export function mixedTexts(bytes: number, seed: number): string[] {
  const random = generator(seed);
  const texts: string[] = [];
  while (bytes > 0) {
    let text = "";
    for (let left = random(3000); left > 0; left--) {
      const bit = BITS[random(BITS.length)] ?? "";
      text += random(40) === 0 ? bit.repeat(random(60)) : bit;
    }
    texts.push(text);
    bytes -= Buffer.byteLength(text);
  }
  return texts;
}

/** Every code point with something before and after it. */
export function everyCodePoint(step: number): string[] {
  const texts: string[] = [];
  let text = "";
  for (let codePoint = 0; codePoint < 0x110000; codePoint++) {
    const isDense = codePoint < 0x3400 || (codePoint >= 0xd7a4 && codePoint < 0x20000);
    if ((codePoint >= 0xd800 && codePoint < 0xe000) || (!isDense && codePoint % step !== 0)) continue;
    text += String.fromCodePoint(codePoint) + ["", " ", "a", "1", "'s"][codePoint % 5];
    if (text.length > 10_000) texts.push(text);
    if (text.length > 10_000) text = "";
  }
  return [...texts, text];
}

/** Source files of the repository and of what it depends on, of about this many bytes. */
export async function sourceTexts(bytes: number): Promise<string[]> {
  const texts: string[] = [];
  for (const folder of [
    "packages/tokenizers/src",
    "node_modules/zod",
    "node_modules/@grpc",
    "node_modules/echarts/lib",
    "node_modules/typescript/lib",
  ]) {
    const names = await readdir(join(ROOT, folder), { recursive: true });
    for (const name of names.filter((path) => /\.(ts|js|md)$/.test(path)).sort()) {
      if (bytes <= 0) return texts;
      const text = (await readFile(join(ROOT, folder, name), "utf8")).slice(0, 400_000);
      texts.push(text);
      bytes -= Buffer.byteLength(text);
    }
  }
  return texts;
}
