// Softmax over the vocabulary, and what losses need of it. Rows by lanes.wgsl.
// N rows, V width. x (logits), y, out: [N, V]; per_row: [N].
// Each kernel writes `out`.

struct Params {
  rows: u32, // N
  width: u32, // V
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> targets: array<u32>;
@group(0) @binding(4) var<storage, read> per_row: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

// (largest, log of the sum of exp(x - largest)) of one row.
fn log_sum_exp(lane: u32, start: u32, width: u32) -> vec2f {
  var largest = x[start + min(lane, params.width - 1u)];
  for (var v = lane; v < width; v += LANES) {
    largest = max(largest, x[start + v]);
  }
  let m = max_lanes(lane, largest);
  var sum = 0.0;
  for (var v = lane; v < width; v += LANES) {
    sum += exp_f32(x[start + v] - m);
  }
  return vec2f(m, log_f32(sum_lanes(lane, sum)));
}

// out = log softmax(x).
@compute @workgroup_size(GROUP)
fn log_softmax(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let norm = log_sum_exp(lane, start, width);
    for (var v = lane; v < width; v += LANES) {
      out[start + v] = x[start + v] - norm.x - norm.y;
    }
  }
}

// With y = log softmax(x): dx = dy - softmax(x) sum(dy); x holds dy here.
@compute @workgroup_size(GROUP)
fn log_softmax_vjp(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    var sum = 0.0;
    for (var v = lane; v < width; v += LANES) {
      sum += x[start + v];
    }
    let total = sum_lanes(lane, sum);
    for (var v = lane; v < width; v += LANES) {
      out[start + v] = fma(-exp_f32(y[start + v]), total, x[start + v]);
    }
  }
}

// With y = log softmax(x): ty = tx - sum(softmax(x) tx); x holds tx here.
@compute @workgroup_size(GROUP)
fn log_softmax_jvp(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    var sum = 0.0;
    for (var v = lane; v < width; v += LANES) {
      sum = fma(exp_f32(y[start + v]), x[start + v], sum);
    }
    let total = sum_lanes(lane, sum);
    for (var v = lane; v < width; v += LANES) {
      out[start + v] = x[start + v] - total;
    }
  }
}

// out[n] = -w[n] log softmax(x)[n, target[n]], w in per_row: [N].
@compute @workgroup_size(GROUP)
fn cross_entropy(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let norm = log_sum_exp(lane, start, width);
    if (lane == 0u && row < params.rows) {
      let z = x[start + targets[row]];
      out[row] = select(0.0, per_row[row] * (norm.y - (z - norm.x)), per_row[row] != 0.0);
    }
  }
}

// out[n,v] = w[n] (softmax(x)[n,v] - 1 at v = target[n]) dy[0], dy in y: [N, V].
@compute @workgroup_size(GROUP)
fn cross_entropy_vjp(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let norm = log_sum_exp(lane, start, width);
    let factor = per_row[row] * y[0];
    for (var v = lane; v < width; v += LANES) {
      let p = exp_f32(x[start + v] - norm.x - norm.y);
      out[start + v] = factor * select(p, p - 1.0, v == targets[row]);
    }
  }
}
