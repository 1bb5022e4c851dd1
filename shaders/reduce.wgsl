// Sums over one dimension. Each kernel writes `out`.
// x is [A, B, C]: rows are [A, B], C = 1; columns are [B, C], A = 1.

struct Params {
  outer: u32, // A
  inner: u32, // B, summed over
  width: u32, // C
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// out[a] = sum_b x[a,b] y[a,b].
@compute @workgroup_size(GROUP)
fn row_dot(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.outer; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.inner, row < params.outer); // nothing to do past the last row
    let start = row * params.inner;
    var sum = 0.0;
    for (var i = lane; i < width; i += LANES) {
      sum = fma(x[start + i], y[start + i], sum);
    }
    let total = sum_lanes(lane, sum);
    if (lane == 0u && row < params.outer) {
      out[row] = total;
    }
  }
}

// out[a] = sqrt(sum_b x[a,b]^2).
@compute @workgroup_size(GROUP)
fn row_norm(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.outer; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.inner, row < params.outer); // nothing to do past the last row
    let start = row * params.inner;
    var sum = 0.0;
    for (var i = lane; i < width; i += LANES) {
      sum = fma(x[start + i], x[start + i], sum);
    }
    let total = sum_lanes(lane, sum);
    if (lane == 0u && row < params.outer) {
      out[row] = sqrt(total);
    }
  }
}

// out[a] = sum_b x[a,b].
@compute @workgroup_size(GROUP)
fn row_sum(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.outer; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.inner, row < params.outer); // nothing to do past the last row
    let start = row * params.inner;
    var sum = 0.0;
    for (var i = lane; i < width; i += LANES) {
      sum += x[start + i];
    }
    let total = sum_lanes(lane, sum);
    if (lane == 0u && row < params.outer) {
      out[row] = total;
    }
  }
}

// out[a,c] = sum_b x[a,b,c]; one thread an output.
@compute @workgroup_size(64)
fn middle_sum(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.outer * params.width; i += groups.x * 64u) {
    let start = (i / params.width) * params.inner * params.width + i % params.width;
    var sum = 0.0;
    for (var b = 0u; b < params.inner; b++) {
      sum += x[start + b * params.width];
    }
    out[i] = sum;
  }
}
