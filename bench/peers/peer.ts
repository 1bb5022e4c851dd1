/**
 * What each library is asked to do.
 *
 * @module
 */

/** Sizes of a product: C is [m, n], summed over k. */
export interface Sizes {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** Work that is ready to be enqueued again and again. */
export interface PeerWork {
  /** Enqueues it once. */
  run(): unknown;
  /** Waits for all of it. */
  finish(): Promise<unknown>;
  /** The last element of the result, for a check. */
  check(): Promise<number>;
  dispose(): void;
}

/** A library on the adapter that WebGPU gives it. */
export interface Peer {
  readonly name: string;
  /** Its device, to hear of errors that it does not tell. */
  readonly device: GPUDevice;
  /** A product of matrices of ones. */
  matmul(sizes: Sizes): Promise<PeerWork>;
  /** A forward pass through `layers` blocks of GPT-2 small, without embedding and unembedding. */
  blocks?(options: { layers: number; length: number }): Promise<PeerWork>;
}
