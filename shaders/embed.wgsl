// Embedding: out[n] = wte[token[n]] + wpe[position[n]], and its gradients.
// N rows, C width, V vocabulary. ids[n] = (token, position).
// wte may be bound in parts: rows first .. first + count of the table.

struct Params {
  n_rows: u32, // N
  width: u32, // C
  first: u32,
  count: u32,
  which: u32, // embed_vjp: 0 tokens, 1 positions
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<vec2u>;
@group(0) @binding(2) var<storage, read> wte: array<f32>; // [count, C]; embed_vjp: dy [N, C]
@group(0) @binding(3) var<storage, read> wpe: array<f32>; // [positions, C]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

// Writes the rows of out [N, C] whose token is in the bound part of wte.
@compute @workgroup_size(64)
fn embed(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n_rows * params.width; i += groups.x * 64u) {
    let entry = ids[i / params.width];
    let c = i % params.width;
    if (entry.x >= params.first && entry.x - params.first < params.count) {
      out[i] = wte[(entry.x - params.first) * params.width + c] + wpe[entry.y * params.width + c];
    }
  }
}

// out[v] = the sum of dy[n] over the rows n with token (or position) first + v: [count, C].
@compute @workgroup_size(64)
fn embed_vjp(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.count * params.width; i += groups.x * 64u) {
    let v = params.first + i / params.width;
    let c = i % params.width;
    var sum = 0.0;
    for (var n = 0u; n < params.n_rows; n++) {
      if (ids[n][params.which] == v) {
        sum += wte[n * params.width + c];
      }
    }
    out[i] = sum;
  }
}
