import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { PLOT_HEIGHT, PLOT_WIDTH, renderLossPlot, type PlottedStep } from "@gradpool/plots";
import { rasterize } from "../src/loss-plot.js";

/** A run whose loss falls noisily from 4.1 to about 2.5. */
function run(count: number): PlottedStep[] {
  return Array.from({ length: count }, (_, i) => ({
    step: i + 1,
    loss: 2.5 + 1.6 * Math.exp((-4 * i) / count) + 0.12 * Math.sin(i * 12.9898) * Math.cos(i * 78.233),
    learningRate: 5e-3 * (1 - i / count),
  }));
}

function assertPicture(png: Uint8Array): void {
  assert.deepEqual([...png.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const header = new DataView(png.buffer, png.byteOffset);
  assert.equal(header.getUint32(16), PLOT_WIDTH);
  assert.equal(header.getUint32(20), PLOT_HEIGHT);
}

describe("renderLossPlot", () => {
  for (const count of [0, 1, 2, 60, 2000]) {
    test(`draws ${count} steps, the same bytes each time`, () => {
      const first = renderLossPlot(run(count), "tiny-coder on 40 files");
      const second = renderLossPlot(run(count), "tiny-coder on 40 files");
      assertPicture(first.png);
      assert.equal(first.svg, second.svg);
      assert.deepEqual(first.png, second.png);
      for (const text of ["tiny-coder on 40 files", "loss (nats per token)", "learning rate", "step"]) {
        assert.ok(first.svg.includes(`>${text}</text>`), `no text ${text}`);
      }
    });
  }

  test("draws its text with the font that comes along", () => {
    const { svg, png } = renderLossPlot(run(20), "title");
    const withoutFont = rasterize(svg, "");
    assertPicture(withoutFont);
    assert.ok(
      png.byteLength > withoutFont.byteLength * 1.2,
      `${png.byteLength} against ${withoutFont.byteLength} bytes`,
    );
    const bare = svg.replaceAll(/<text.*?<\/text>/gs, "");
    assert.deepEqual(rasterize(bare), withoutFont);
  });

  test("leaves a gap for a loss that is not a number", () => {
    const steps = run(20);
    steps[7] = { step: 8, loss: NaN, learningRate: 1e-3 };
    const { svg, png } = renderLossPlot(steps, "title");
    assertPicture(png);
    assert.ok(!svg.includes("NaN"));
  });

  test("draws evaluations where there are some, on the axis of the loss", () => {
    const without = renderLossPlot(run(20), "title");
    assert.ok(!without.svg.includes(">evaluation</text>"));
    const evaluations = [10, 20].map((step) => ({ step, loss: 3.5 - step / 20 }));
    const { svg, png } = renderLossPlot(run(20), "title", evaluations);
    assertPicture(png);
    assert.ok(svg.includes(">evaluation</text>"));
    assert.notDeepEqual(png, without.png);
    // A loss far above makes the axis reach there.
    const far = renderLossPlot(run(20), "title", [{ step: 10, loss: 70 }]);
    assert.ok(far.svg.includes(">70</text>") && !svg.includes(">70</text>"));
  });

  test("escapes the title", () => {
    const { svg } = renderLossPlot(run(3), "a <b> & c");
    assert.ok(svg.includes("a &lt;b&gt; &amp; c"));
  });
});
