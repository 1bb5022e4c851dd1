/**
 * TensorFlow.js with its WebGPU backend.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs-core";
import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import { waitFor } from "./wait.ts";
import type { Peer } from "./peer.ts";

/** Opens it. */
export async function openTfjs(): Promise<Peer> {
  await import("@tensorflow/tfjs-backend-webgpu");
  if (!await tf.setBackend("webgpu")) throw new Error("Cannot use tfjs: it has no WebGPU here");
  const backend = tf.backend() as WebGPUBackend;
  return {
    device: backend.device,
    name: `tfjs ${tf.version_core}`,
    matmul({ m, k, n }) {
      const a = tf.ones<tf.Rank.R2>([m, k]);
      const b = tf.ones<tf.Rank.R2>([k, n]);
      return Promise.resolve({
        run: () => tf.matMul(a, b).dispose(),
        finish() {
          // Submitting with a pass still open is an error that only the device hears of.
          backend.endComputePassEncoder();
          backend.submitQueue();
          return waitFor(backend.device);
        },
        check: async () => (await tf.matMul(a, b).data())[m * n - 1]!,
        dispose: () => [a, b].forEach((each) => each.dispose()),
      });
    },
  };
}
