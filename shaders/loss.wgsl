// Losses on the logits of one row for each sequence. One workgroup a sequence.
// B sequences, V vocabulary. logits, out of loss_vjp: [N, V]; specs[b] = (row, kind);
// coefficients: [B, V]; seeds: [B]. kind LINEAR: sum c z; PROBS: sum c softmax(z);
// ZERO: as LINEAR, the host makes c = 0. Each kernel writes `out`.

const LINEAR = 0u;
const PROBS = 1u;

struct Params {
  width: u32, // V
  sequences: u32, // B
  n: u32, // loss_vjp: elements of out
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> specs: array<vec2u>;
@group(0) @binding(3) var<storage, read> coefficients: array<f32>;
@group(0) @binding(4) var<storage, read> seeds: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

// The largest logit of the row and the sum of exp(z - largest).
fn row_norm(lane: u32, start: u32) -> vec2f {
  var largest = logits[start + min(lane, params.width - 1u)];
  for (var v = lane; v < params.width; v += LANES) {
    largest = max(largest, logits[start + v]);
  }
  let m = max_lanes(lane, largest);
  var sum = 0.0;
  for (var v = lane; v < params.width; v += LANES) {
    sum += exp_f32(logits[start + v] - m);
  }
  return vec2f(m, sum_lanes(lane, sum));
}

// sum_v c[v] f(v), f the logit or the probability; tokens with c = 0 do not count.
fn weighted_sum(lane: u32, start: u32, at: u32, norm: vec2f, linear: bool) -> f32 {
  var sum = 0.0;
  for (var v = lane; v < params.width; v += LANES) {
    let c = coefficients[at + v];
    if (c != 0.0) {
      let z = logits[start + v];
      sum = fma(c, select(exp_f32(z - norm.x) / norm.y, z, linear), sum);
    }
  }
  return sum_lanes(lane, sum);
}

// out[b] = the loss of sequence b, for the kinds LINEAR and PROBS.
@compute @workgroup_size(LANES)
fn loss(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let b = group.x;
  let spec = specs[b];
  let start = spec.x * params.width;
  let norm = row_norm(lane, start);
  let sum = weighted_sum(lane, start, b * params.width, norm, spec.y != PROBS);
  if (lane == 0u) {
    out[b] = sum;
  }
}

// The gradient at each sequence's row of out [N, V], zeros before:
// LINEAR: seed c;  PROBS: seed p (c - sum c p). The workgroup of the first sequence
// that has a row adds those of the others that have it too.
@compute @workgroup_size(LANES)
fn loss_vjp(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = specs[group.x].x;
  var b = 0u;
  while (specs[b].x != row) {
    b++;
  }
  if (b < group.x) {
    return;
  }
  let start = row * params.width;
  let norm = row_norm(lane, start);
  for (; b < params.sequences; b++) {
    if (specs[b].x != row) {
      continue;
    }
    let at = b * params.width;
    let probs = specs[b].y == PROBS;
    let sum = weighted_sum(lane, start, at, norm, !probs);
    for (var v = lane; v < params.width; v += LANES) {
      let c = coefficients[at + v];
      let p = exp_f32(logits[start + v] - norm.x) / norm.y;
      out[start + v] += seeds[b] * select(c, p * (c - sum), probs);
    }
  }
}

// out[b] = sum of the tangent (seeds: [N, V]) times the gradient.
@compute @workgroup_size(LANES)
fn loss_jvp(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let b = group.x;
  let spec = specs[b];
  let start = spec.x * params.width;
  let at = b * params.width;
  let norm = row_norm(lane, start);
  let sum = weighted_sum(lane, start, at, norm, spec.y != PROBS);
  var dot = 0.0;
  for (var v = lane; v < params.width; v += LANES) {
    let c = coefficients[at + v];
    let p = exp_f32(logits[start + v] - norm.x) / norm.y;
    dot = fma(seeds[start + v], select(c, p * (c - sum), spec.y == PROBS), dot);
  }
  let total = sum_lanes(lane, dot);
  if (lane == 0u) {
    out[b] = total;
  }
}

// out = 0.
@compute @workgroup_size(64)
fn zeros(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    out[i] = 0.0;
  }
}
