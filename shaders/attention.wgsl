// Attention over packed sequences, unfused: scores, softmax over keys, weighted sum.
//
// N rows (positions of all sequences), H heads, D channels a head.
// rows[n] = (first row of n's sequence, its length T, first pair of n, position of n).
// The pairs of row n with key k = 0 .. T-1 of its sequence start at rows[n].z; a tensor
// over pairs is [P, H], P = the sum of T^2. q, k, v and sums over keys are [N, H, D].
// Every kernel writes `out`; one thread takes every (number of threads)-th output.

struct Params {
  n_rows: u32, // N
  n_heads: u32, // H
  d_head: u32, // D
  causal: u32, // 1: keys after the query count as absent
  masked: f32, // what pair_dot writes for absent keys
  longest: u32, // the largest T
  n_tiles: u32, // for attention_tiles.wgsl
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4u>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// out[q,k,h] = sum_c a[q,h,c] b[k,h,c]: scores q·k, and the gradient of the pattern dO·v.
@compute @workgroup_size(64)
fn pair_dot(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let per_row = params.longest * params.n_heads;
  for (var i = id.x; i < params.n_rows * per_row; i += groups.x * 64u) {
    let n = i / per_row;
    let k = (i % per_row) / params.n_heads;
    let h = i % params.n_heads;
    let row = rows[n];
    if (k >= row.y) {
      continue;
    }
    var dot = params.masked;
    if (params.causal == 0u || k <= row.w) {
      let left = (n * params.n_heads + h) * params.d_head;
      let right = ((row.x + k) * params.n_heads + h) * params.d_head;
      dot = 0.0;
      for (var c = 0u; c < params.d_head; c++) {
        dot = fma(a[left + c], b[right + c], dot);
      }
    }
    out[(row.z + k) * params.n_heads + h] = dot;
  }
}

// out[q,:,h] = softmax of a[q,:,h] over the keys.
@compute @workgroup_size(64)
fn softmax_keys(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = params.n_heads;
  for (var i = id.x; i < params.n_rows * params.n_heads; i += groups.x * 64u) {
    let row = rows[i / params.n_heads];
    let start = row.z * stride + i % params.n_heads;
    let present = select(row.y, row.w + 1u, params.causal == 1u);
    var largest = a[start];
    for (var k = 1u; k < present; k++) {
      largest = max(largest, a[start + k * stride]);
    }
    var sum = 0.0;
    for (var k = 0u; k < present; k++) {
      let e = exp_f32(a[start + k * stride] - largest);
      out[start + k * stride] = e;
      sum += e;
    }
    for (var k = 0u; k < row.y; k++) {
      if (k < present) {
        out[start + k * stride] /= sum;
      } else {
        out[start + k * stride] = 0.0;
      }
    }
  }
}

// out = p (t - sum_k p t), p = a, t = b: the Jacobian of the softmax, which is its own
// transpose; so this is the vjp and the jvp.
@compute @workgroup_size(64)
fn softmax_keys_jacobian(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = params.n_heads;
  for (var i = id.x; i < params.n_rows * params.n_heads; i += groups.x * 64u) {
    let row = rows[i / params.n_heads];
    let start = row.z * stride + i % params.n_heads;
    var dot = 0.0;
    for (var k = 0u; k < row.y; k++) {
      dot = fma(a[start + k * stride], b[start + k * stride], dot);
    }
    for (var k = 0u; k < row.y; k++) {
      out[start + k * stride] = a[start + k * stride] * (b[start + k * stride] - dot);
    }
  }
}

// out[q,h,c] = sum_k a[q,k,h] b[k,h,c]: the weighted sum of values.
@compute @workgroup_size(64)
fn sum_over_keys(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let width = params.n_heads * params.d_head;
  for (var i = id.x; i < params.n_rows * width; i += groups.x * 64u) {
    let row = rows[i / width];
    let h = (i % width) / params.d_head;
    let present = select(row.y, row.w + 1u, params.causal == 1u);
    var sum = 0.0;
    for (var k = 0u; k < present; k++) {
      sum = fma(a[(row.z + k) * params.n_heads + h], b[(row.x + k) * width + i % width], sum);
    }
    out[i] = sum;
  }
}

// out[k,h,c] = sum_q a[q,k,h] b[q,h,c]: gradients with respect to keys and values.
@compute @workgroup_size(64)
fn sum_over_queries(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let width = params.n_heads * params.d_head;
  for (var i = id.x; i < params.n_rows * width; i += groups.x * 64u) {
    let row = rows[i / width];
    let h = (i % width) / params.d_head;
    let first = select(0u, row.w, params.causal == 1u);
    var sum = 0.0;
    for (var q = first; q < row.y; q++) {
      let pair = rows[row.x + q].z + row.w;
      sum = fma(a[pair * params.n_heads + h], b[(row.x + q) * width + i % width], sum);
    }
    out[i] = sum;
  }
}
