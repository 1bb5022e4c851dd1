import assert from "node:assert/strict";

import { goldenModelPath } from "../support/golden.ts";
import { testGpu } from "../support/gpu.ts";

const serveUrl = import.meta.resolve("../../server/serve.ts");

/** A process of its own that serves the small golden model at a free port. */
function startProcess(): Deno.ChildProcess {
  const options = { model: goldenModelPath("tiny"), autoencoders: ["ae_mlp_post_act"], port: 0 };
  const code = `import { serve } from ${JSON.stringify(serveUrl)};
    await serve(${JSON.stringify(options)});
    console.error("served");`;
  return new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", code],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test({
    name: `serve() says where it listens, and ends cleanly on ${signal}`,
    ignore: Deno.build.os === "windows",
    async fn() {
      if (await testGpu() === undefined) return;
      const child = startProcess();
      const lines = child.stderr.pipeThrough(new TextDecoderStream());
      let text = "";
      for await (const chunk of lines.values({ preventCancel: true })) {
        text += chunk;
        if (/Serving .*\n/.test(text)) break;
      }
      const url = /Serving tiny with ae_mlp_post_act at (http:\/\/127\.0\.0\.1:\d+)/.exec(text)
        ?.[1];
      assert.ok(url, text);
      const answer = await fetch(`${url}/model_info`, { method: "POST" });
      assert.equal((await answer.json()).mlpAutoencoderName, "ae_mlp_post_act");
      child.kill(signal);
      for await (const chunk of lines) text += chunk;
      const { code, signal: killedBy } = await child.status;
      assert.deepEqual({ code, killedBy }, { code: 0, killedBy: null }, text);
      assert.match(text, /Stopping once all requests are answered\nserved\n$/);
    },
  });
}
