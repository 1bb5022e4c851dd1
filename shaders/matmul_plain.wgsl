// Placeholder.
struct Params {
  m: u32, n: u32, k: u32, lda: u32, ldb: u32, ldc: u32,
  a_offset: u32, b_offset: u32, c_offset: u32, bias_offset: u32, flags: u32, alpha: f32,
}
override LAYOUT: u32 = 0u;
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;
@compute @workgroup_size(64)
fn matmul(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < p.m * p.n; i += groups.x * 64u) {
    let row = i / p.n;
    let col = i % p.n;
    var acc = 0.0;
    for (var k = 0u; k < p.k; k++) {
      let av = a[p.a_offset + select(row * p.lda + k, k * p.lda + row, LAYOUT == 2u)];
      let bv = b[p.b_offset + select(k * p.ldb + col, col * p.ldb + k, LAYOUT == 1u)];
      acc = fma(av, bv, acc);
    }
    if ((p.flags & 1u) != 0u) { acc += bias[p.bias_offset + col]; }
    acc *= p.alpha;
    let at = p.c_offset + row * p.ldc + col;
    if ((p.flags & 2u) != 0u) { acc += c[at]; }
    c[at] = acc;
  }
}
