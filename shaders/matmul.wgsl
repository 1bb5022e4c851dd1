// Matrix product:  C[i, j] = f(alpha * (sum over k of A(i, k) * B(k, j) + bias[j])) + addend[i, j].
//
// f is gelu or nothing; bias and addend may be absent; addend lies as C does.
// M rows and N columns of C, K summed over. Row-major, with leading dimensions
// (elements from one row to the next) and offsets in elements. Layouts:
//   NN  A: [M, K]  B: [K, N]      x times weights
//   NT  A: [M, K]  B: [N, K]      dX = dY times the weights transposed
//   TN  A: [K, M]  B: [K, N]      dW = X transposed times dY
//
// This file is what the kernels share; it stands in front of one of them:
//   matmul_direct.wgsl   from storage buffers, no workgroup memory: for CPU rasterisers
//   matmul_texture.wgsl  from rgba32float textures: the fastest on CPU rasterisers
//   matmul_staged.wgsl   tiles staged through workgroup memory: for GPUs
// Each of them sums every output over k = 0, 1, ..., K - 1 in that order with
// acc = fma(a, b, acc) from acc = 0. An output therefore depends on its own row
// and column only: not on M, not on the tile, not on the rows beside it.
//
// All of them write `c` alone (and pack writes `packed`). Joined after lib/math.wgsl.

override GELU: bool = false; // no uniform: llvmpipe computes what a branch skips

struct Params {
  m: u32,
  n: u32,
  k: u32,
  lda: u32,
  ldb: u32,
  ldc: u32,
  a_offset: u32,
  b_offset: u32,
  c_offset: u32,
  bias_offset: u32,
  flags: u32, // HAS_BIAS | HAS_ADDEND
  alpha: f32,
}

const HAS_BIAS = 1u;
const HAS_ADDEND = 2u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@group(0) @binding(8) var<storage, read> addend: array<f32>;

fn has(flag: u32) -> bool {
  return (p.flags & flag) != 0u;
}

// The bias of columns j .. j + 3.
fn bias_at(j: u32) -> vec4f {
  if (!has(HAS_BIAS)) {
    return vec4f();
  }
  let at = p.bias_offset + j;
  let last = p.bias_offset + p.n - 1u;
  return vec4f(bias[min(at, last)], bias[min(at + 1u, last)], bias[min(at + 2u, last)], bias[min(at + 3u, last)]);
}

// Writes row i, columns j .. j + 3, from their sums, as far as they are inside C.
fn store(i: u32, j: u32, sum: vec4f, column_bias: vec4f) {
  if (i >= p.m || j >= p.n) {
    return;
  }
  var out = p.alpha * (sum + column_bias);
  if (GELU) {
    out = vec4f(gelu(out.x), gelu(out.y), gelu(out.z), gelu(out.w));
  }
  let at = p.c_offset + i * p.ldc + j;
  let inside = p.n - j;
  if (has(HAS_ADDEND)) {
    let last = at + min(inside, 4u) - 1u;
    out += vec4f(addend[at], addend[min(at + 1u, last)], addend[min(at + 2u, last)], addend[min(at + 3u, last)]);
  }
  c[at] = out.x;
  if (inside > 1u) {
    c[at + 1u] = out.y;
  }
  if (inside > 2u) {
    c[at + 2u] = out.z;
  }
  if (inside > 3u) {
    c[at + 3u] = out.w;
  }
}
