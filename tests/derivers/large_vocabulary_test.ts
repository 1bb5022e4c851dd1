import assert from "node:assert/strict";

import { deriveScalars } from "../../derivers/derive.ts";
import type { OneSequenceInput } from "../../derivers/request.ts";
import { openGpu } from "../../engine/gpu/gpu.ts";
import { loadModel } from "../../engine/model/model.ts";
import { readTensors, type Tensor } from "../../engine/tape/tensor.ts";
import { assertClose } from "../support/assert_close.ts";
import { gpuTest } from "../support/gpu.ts";
import { tinyWithVocabulary } from "./large_vocabulary.ts";

gpuTest(
  "deriveScalars() gives the same where the vocabulary exceeds a binding",
  async ({ gpu }) => {
    const dVocab = 5000;
    const folder = tinyWithVocabulary(dVocab);
    // wte and lm_head are 640,000 bytes each: two pieces
    using limited = await openGpu({ maxBindingBytes: 2 ** 19 });
    using whole = await loadModel(folder, { gpu });
    using pieces = await loadModel(folder, { gpu: limited });
    const activationIndexForFakeGrad = {
      activationLocationType: "mlp.post_act",
      passType: "forward",
      layerIndex: 1,
      tensorIndices: ["All", 5],
    } as const;
    const saved = ["resid.post_emb", "logits", "mlp.post_act"] as const;
    const request: OneSequenceInput = {
      tokens: [4999, 0, 2500, 4096, 4999],
      lossFnConfig: { name: "probs", targetTokens: ["<4998>", "<1>"] },
      dsts: [
        "logits",
        "token_attribution",
        "resid_post_embedding_proj_to_final_residual_grad",
        { dst: "vocab_token_write_to_input_direction", config: { activationIndexForFakeGrad } },
      ],
      saveActivations: saved.flatMap((activationLocationType) =>
        (["forward", "backward"] as const).map((passType) => ({ activationLocationType, passType }))
      ),
    };
    using want = await deriveScalars(whole, request);
    using got = await deriveScalars(pieces, request);
    assert.deepEqual([got.notComputable, want.notComputable], [[], []]);
    assertClose([got.loss!], [want.loss!], { label: "loss" });
    const tensorsOf = ({ scalars, activations }: typeof got): Tensor[] => [
      ...scalars.entries.map(({ tensor }) => tensor),
      ...activations.values(),
    ];
    const wanted = await readTensors(tensorsOf(want));
    (await readTensors(tensorsOf(got))).forEach((values, i) =>
      assertClose(values, wanted[i]!, { label: tensorsOf(want)[i]!.label })
    );
    // without the logits of every position, as a loss alone takes them
    const { saveActivations: _, ...rest } = request;
    using lossAlone = await deriveScalars(pieces, { ...rest, dsts: ["token_attribution"] });
    assertClose([lossAlone.loss!], [want.loss!], { label: "loss alone" });
  },
);
