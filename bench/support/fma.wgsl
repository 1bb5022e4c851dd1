// Multiplications and additions and nothing else: how fast the adapter can be.
//
// Eight independent chains of fused multiply-adds an invocation, 16 links of each a turn
// of the loop: 256 operations a turn. Writes one number of each invocation to `out`.
// Grid: any number of workgroups along x.

override GROUP: u32 = 64u;

struct Params {
  turns: u32,
  factor: f32,
  summand: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

fn link4(x: array<f32, 8>, f: f32, s: f32) -> array<f32, 8> {
  var y = x;
  y[0] = fma(fma(fma(fma(y[0], f, s), f, s), f, s), f, s);
  y[1] = fma(fma(fma(fma(y[1], f, s), f, s), f, s), f, s);
  y[2] = fma(fma(fma(fma(y[2], f, s), f, s), f, s), f, s);
  y[3] = fma(fma(fma(fma(y[3], f, s), f, s), f, s), f, s);
  y[4] = fma(fma(fma(fma(y[4], f, s), f, s), f, s), f, s);
  y[5] = fma(fma(fma(fma(y[5], f, s), f, s), f, s), f, s);
  y[6] = fma(fma(fma(fma(y[6], f, s), f, s), f, s), f, s);
  y[7] = fma(fma(fma(fma(y[7], f, s), f, s), f, s), f, s);
  return y;
}

@compute @workgroup_size(GROUP)
fn fma_chains(@builtin(global_invocation_id) id: vec3u) {
  let f = params.factor;
  let s = params.summand;
  let start = f32(id.x % 64u);
  var x: array<f32, 8>;
  x[0] = start;
  x[1] = start + 1.0;
  x[2] = start + 2.0;
  x[3] = start + 3.0;
  x[4] = start + 4.0;
  x[5] = start + 5.0;
  x[6] = start + 6.0;
  x[7] = start + 7.0;
  for (var turn = 0u; turn < params.turns; turn++) {
    x = link4(link4(link4(link4(x, f, s), f, s), f, s), f, s);
  }
  out[id.x] = x[0] + x[1] + x[2] + x[3] + x[4] + x[5] + x[6] + x[7];
}
