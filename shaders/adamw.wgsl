// AdamW (Loshchilov & Hutter 2019, algorithm 2) with the gradient's global norm clipped:
//   g' = g min(1, max_norm / |g|),  |g| over all parameters together
//   m = beta1 m + (1 - beta1) g',  v = beta2 v + (1 - beta2) g'^2
//   w = w - rate (m / correction1 / (sqrt(v / correction2) + eps) + decay w)
// with correction = 1 - beta^step.
//
// In three kernels, so that nobody waits for the norm: each tensor's squares to partial
// sums, the partial sums to the clip factor, each tensor's update. One thread takes
// every (number of threads)-th element; sums are in a fixed order.

struct Params {
  size: u32, // elements of w; of partials in clip_factor
  first: u32, // grad_squares: the first of the partial sums it writes
  max_norm: f32, // 0: no clipping
  rate: f32,
  beta1: f32,
  beta2: f32,
  correction1: f32,
  correction2: f32,
  eps: f32,
  decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>; // [size]
@group(0) @binding(2) var<storage, read> clip: array<f32>; // (factor, norm)
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;
@group(0) @binding(4) var<storage, read_write> out_clip: array<f32>; // (factor, norm)
@group(0) @binding(5) var<storage, read_write> w: array<f32>; // [size]
@group(0) @binding(6) var<storage, read_write> m: array<f32>; // [size]
@group(0) @binding(7) var<storage, read_write> v: array<f32>; // [size]

// partials[first + workgroup] = the sum of grad^2 over the workgroup's elements.
@compute @workgroup_size(LANES)
fn grad_squares(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  var sum = 0.0;
  for (var i = group.x * LANES + lane; i < params.size; i += groups.x * LANES) {
    sum = fma(grad[i], grad[i], sum);
  }
  let total = sum_lanes(lane, sum);
  if (lane == 0u) {
    partials[params.first + group.x] = total;
  }
}

// out_clip = (min(1, max_norm / norm), norm); one workgroup.
@compute @workgroup_size(LANES)
fn clip_factor(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.size; i += LANES) {
    sum += partials[i];
  }
  let norm = sqrt(sum_lanes(lane, sum));
  if (lane == 0u) {
    let clips = params.max_norm > 0.0 && norm > params.max_norm;
    out_clip[0] = select(1.0, params.max_norm / norm, clips);
    out_clip[1] = norm;
  }
}

// Writes w, m and v.
@compute @workgroup_size(64)
fn adamw(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.size; i += groups.x * 64u) {
    let g = clip[0] * grad[i];
    let first_moment = fma(params.beta1, m[i], (1.0 - params.beta1) * g);
    let second_moment = fma(params.beta2, v[i], (1.0 - params.beta2) * g * g);
    m[i] = first_moment;
    v[i] = second_moment;
    let denominator = sqrt(second_moment / params.correction2) + params.eps;
    let change = fma(params.decay, w[i], first_moment / params.correction1 / denominator);
    w[i] = fma(-params.rate, change, w[i]);
  }
}
