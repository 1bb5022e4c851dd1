// Layer norm (Ba et al. 2016) in two steps, so that the scale is an activation of
// its own:  s = sqrt(mean((x - mean)^2) + eps),  y = (x - mean) / s * gain + bias.
// Rows by lanes.wgsl; the mean is taken again in each kernel (two passes, f32).
//
// N rows, C width. x, dy, tx, out: [N, C]; scale, ds, ts: [N]; gain, bias: [C].
// Each kernel writes `out`; norm_apply_vjp writes `out_scale` too.

struct Params {
  rows: u32, // N
  width: u32, // C
  eps: f32,
  has_before: u32, // 1: the gradients dx are added to those of `fourth`
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> gain: array<f32>;
@group(0) @binding(4) var<storage, read> third: array<f32>; // bias, dy, ds or tx
@group(0) @binding(5) var<storage, read> fourth: array<f32>; // ts, or dx so far
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(7) var<storage, read_write> out_scale: array<f32>;

// The gradient of x so far.
fn before(i: u32) -> f32 {
  return select(0.0, fourth[i], params.has_before == 1u);
}

fn row_mean(lane: u32, start: u32, width: u32) -> f32 {
  var sum = 0.0;
  for (var c = lane; c < width; c += LANES) {
    sum += x[start + c];
  }
  return sum_lanes(lane, sum) / f32(params.width);
}

// s from x: out [N].
@compute @workgroup_size(GROUP)
fn norm_scale(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let mean = row_mean(lane, start, width);
    var sum = 0.0;
    for (var c = lane; c < width; c += LANES) {
      let centred = x[start + c] - mean;
      sum = fma(centred, centred, sum);
    }
    let variance = sum_lanes(lane, sum) / f32(params.width);
    if (lane == 0u && row < params.rows) {
      out[row] = sqrt(variance + params.eps);
    }
  }
}

// dx from ds (third): ds/dx = (x - mean) / (C s).
@compute @workgroup_size(GROUP)
fn norm_scale_vjp(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let mean = row_mean(lane, start, width);
    let factor = third[row] / (f32(params.width) * scale[row]);
    for (var c = lane; c < width; c += LANES) {
      out[start + c] = before(start + c) + factor * (x[start + c] - mean);
    }
  }
}

// ts from tx (third): sum((x - mean) tx) / (C s).
@compute @workgroup_size(GROUP)
fn norm_scale_jvp(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let mean = row_mean(lane, start, width);
    var sum = 0.0;
    for (var c = lane; c < width; c += LANES) {
      sum = fma(x[start + c] - mean, third[start + c], sum);
    }
    let total = sum_lanes(lane, sum);
    if (lane == 0u && row < params.rows) {
      out[row] = total / (f32(params.width) * scale[row]);
    }
  }
}

// y from x and s; third is the bias.
@compute @workgroup_size(GROUP)
fn norm_apply(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let mean = row_mean(lane, start, width);
    let s = scale[row];
    for (var c = lane; c < width; c += LANES) {
      out[start + c] = fma((x[start + c] - mean) / s, gain[c], third[c]);
    }
  }
}

// With g = dy gain (dy is third): dx = (g - mean(g)) / s,  ds = -sum(g (x - mean)) / s^2.
@compute @workgroup_size(GROUP)
fn norm_apply_vjp(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let mean = row_mean(lane, start, width);
    let s = scale[row];
    var sum = 0.0;
    var dot = 0.0;
    for (var c = lane; c < width; c += LANES) {
      let g = third[start + c] * gain[c];
      sum += g;
      dot = fma(g, x[start + c] - mean, dot);
    }
    let mean_g = sum_lanes(lane, sum) / f32(params.width);
    let total_dot = sum_lanes(lane, dot);
    for (var c = lane; c < width; c += LANES) {
      out[start + c] = before(start + c) + (third[start + c] * gain[c] - mean_g) / s;
    }
    if (lane == 0u && row < params.rows) {
      out_scale[row] = -total_dot / (s * s);
    }
  }
}

// ty = gain ((tx - mean(tx)) / s - (x - mean) ts / s^2), tx third, ts fourth.
@compute @workgroup_size(GROUP)
fn norm_apply_jvp(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let mean = row_mean(lane, start, width);
    let s = scale[row];
    let shrink = fourth[row] / (s * s);
    var sum = 0.0;
    for (var c = lane; c < width; c += LANES) {
      sum += third[start + c];
    }
    let mean_t = sum_lanes(lane, sum) / f32(params.width);
    for (var c = lane; c < width; c += LANES) {
      let t = (third[start + c] - mean_t) / s - (x[start + c] - mean) * shrink;
      out[start + c] = gain[c] * t;
    }
  }
}
