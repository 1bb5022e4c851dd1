import assert from "node:assert/strict";

import type { TraceConfig } from "../../derivers/request.ts";
import type { ScalarName } from "../../derivers/table.ts";
import { readTensors } from "../../engine/tape/tensor.ts";
import { assertClose } from "../support/assert_close.ts";
import { derive, onEach, T } from "./derive_values.ts";

for (const name of ["ae_mlp_post_act", "ae_resid_delta_mlp", "ae_resid_delta_attn"] as const) {
  const errors = {
    ae_mlp_post_act: "online_mlp_autoencoder_error",
    ae_resid_delta_mlp: "online_residual_mlp_autoencoder_error",
    ae_resid_delta_attn: "online_residual_attention_autoencoder_error",
  } as const;
  onEach(
    `reconstruction and error of ${name} are its input, and latents those offline`,
    async (model) => {
      const input = name === "ae_mlp_post_act" ? "mlp_post_act" : name.slice(3) as ScalarName;
      const dsts = [
        "autoencoder_latent",
        "online_autoencoder_latent",
        "autoencoder_write_norm",
        "online_autoencoder_write_norm",
        errors[name],
        input as ScalarName,
        "logits",
      ] as const;
      const plain = await derive(model, { dsts: ["logits"] });
      const run = await derive(model, { autoencoders: [{ name }], dsts });
      assertClose(run.get("logits/none"), plain.get("logits/none"));
      const { layers } = await model.autoencoder(name, null);
      for (const [layer, { wDec, preBias }] of layers) {
        for (const latents of ["latent", "write_norm"]) {
          const offline = run.get(`autoencoder_${latents}/${layer}`);
          assert.deepEqual(run.get(`online_autoencoder_${latents}/${layer}`), offline);
        }
        const [decoder, bias] = await readTensors([wDec, preBias]);
        const z = run.get(`online_autoencoder_latent/${layer}`);
        const error = run.get(`${errors[name]}/${layer}`);
        const [n, m] = [bias!.length, z.length / T];
        const sum = error.map((value, i) => {
          const [t, o] = [Math.floor(i / n), i % n];
          let total = value + bias![o]!;
          for (let j = 0; j < m; j++) total += z[t * m + j]! * decoder![o * m + j]!;
          return total;
        });
        assertClose(sum, run.get(`${input}/${layer}`));
      }
    },
  );
}

onEach("writes along an activation's gradient are those along the traced one", async (model) => {
  const autoencoders = [{ name: "ae_mlp_post_act" }];
  const node = { layerIndex: 1, passType: "forward" } as const;
  const traces: Pick<TraceConfig, "nodeIndex" | "attentionTraceType">[] = [
    { nodeIndex: { ...node, nodeType: "mlp_neuron", tensorIndices: [4, 11] } },
    {
      nodeIndex: { ...node, nodeType: "attention_head", tensorIndices: [-1, 2, 1] },
      attentionTraceType: "QK",
    },
    { nodeIndex: { ...node, nodeType: "autoencoder_latent", tensorIndices: [3, 8] } },
  ];
  const pairs = [
    ["mlp_write_to_final_residual_grad", "mlp_write_to_final_activation_residual_grad"],
    [
      "unflattened_attn_write_to_final_residual_grad",
      "unflattened_attn_write_to_final_activation_residual_grad",
    ],
    [
      "online_autoencoder_write_to_final_residual_grad",
      "online_autoencoder_write_to_final_activation_residual_grad",
    ],
    [
      "resid_post_embedding_proj_to_final_residual_grad",
      "resid_post_embedding_proj_to_final_activation_residual_grad",
    ],
  ] as const;
  for (const trace of traces) {
    const traceConfig: TraceConfig = {
      ...trace,
      preOrPostAct: "pre",
      detachLayerNormScale: true,
    };
    const run = await derive(model, {
      autoencoders,
      traceConfig,
      dsts: pairs.flat().map((dst) => ({ dst, config: { traceConfig } })),
    });
    for (const [real, recomputed] of pairs) {
      const layers = real.startsWith("resid_post_emb") ? ["none"] : [0, 1];
      for (const layer of layers) {
        const label = `${recomputed}, layer ${layer}, ${trace.nodeIndex.nodeType}`;
        assertClose(run.get(`${recomputed}/${layer}`), run.get(`${real}/${layer}`), { label });
      }
    }
  }
});
