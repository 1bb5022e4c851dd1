// What many nodes write, at once. Each kernel writes `out`; one thread takes every
// (number of threads)-th output.

struct Params {
  n: u32, // elements of out
  nodes: u32, // spread_product: N; transpose: rows of x
  width: u32, // spread_product: C; transpose: columns of x
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// out[r,i,c] = a[r,i] x[i,c]: activations [R, N] times write vectors [N, C].
@compute @workgroup_size(64)
fn spread_product(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    out[i] = a[i / params.width] * x[i % (params.nodes * params.width)];
  }
}

// out[c,r] = x[r,c].
@compute @workgroup_size(64)
fn transpose(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    out[i] = x[(i % params.nodes) * params.width + i / params.nodes];
  }
}
