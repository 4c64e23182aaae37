/** Weights that another library quantized: refused by its name (quantization_config as transformers 5.24 writes it). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkConfig } from "@gradpool/models";

for (const [quantization, name] of [
  [{ quant_method: "gptq", bits: 4, group_size: 128 }, "GPTQ"],
  [{ quant_method: "awq", bits: 4, zero_point: true }, "AWQ"],
  [{ quant_method: "bitsandbytes", load_in_4bit: true }, "bitsandbytes"],
  [{ load_in_8bit: true }, "bitsandbytes"],
  [{ _load_in_4bit: true, bnb_4bit_quant_type: "nf4" }, "bitsandbytes"],
  [{ quant_method: "fp8", weight_block_size: [128, 128] }, "FP8"],
  [{ quant_method: "mxfp4", modules_to_not_convert: [] }, "MXFP4"],
  [{ quant_method: "compressed-tensors", format: "pack-quantized" }, "compressed-tensors"],
  [{ quant_method: "torchao", quant_type: { default: {} } }, "torchao"],
  [{ quant_method: "next-year" }, '"next-year"'],
  [{ bits: 4 }, "an unnamed method"],
] as const) {
  test(`${JSON.stringify(quantization)} is refused, naming ${name}`, () => {
    assert.throws(() => checkConfig({ model_type: "llama", quantization_config: quantization }), (error: Error) => {
      assert.ok(error.message.includes(`the model is quantized by ${name} (quantization_config)`), error.message);
      assert.match(error.message, /; use the original model, or save it with transformers after model\.dequantize\(\)$/);
      return true;
    });
  });
}
