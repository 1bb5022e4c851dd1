// Normal random numbers from a counter: out[i] = mean + deviation n, n by Box and Muller
// from two hashes of (seed, i). Writes `out`.

struct Params {
  n: u32,
  seed: u32,
  mean: f32,
  deviation: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

fn hash(x: u32) -> u32 {
  var h = x;
  h = (h ^ (h >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}

fn uniform_number(x: u32) -> f32 {
  return (f32(hash(x) >> 8u) + 0.5) / 16777216.0;
}

@compute @workgroup_size(64)
fn random(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    let a = uniform_number(2u * i + hash(params.seed));
    let b = uniform_number(2u * i + 1u + hash(params.seed));
    out[i] = params.mean + params.deviation * sqrt(-2.0 * log(a)) * cos(6.2831853 * b);
  }
}
