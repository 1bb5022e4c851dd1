// TopK activation: keep the k largest of each row (ties: lower index), ReLU of them,
// zeros elsewhere. Rows by lanes.wgsl; lane l looks after a contiguous part
// of the row. The k-th largest is found bit by bit: the largest key that at least k
// entries reach. N rows, M width. x, out: [N, M]. Writes `out`.

struct Params {
  rows: u32, // N
  width: u32, // M
  k: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

// An unsigned number in the order of the floats.
fn key_of(value: f32) -> u32 {
  let bits = bitcast<u32>(value + 0.0); // -0 counts as 0
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

@compute @workgroup_size(GROUP)
fn top_k(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let part = (params.width + LANES - 1u) / LANES;
  let lane = index % LANES;
  for (var first = group.x * ROWS; first < params.rows; first += groups.x * ROWS) {
    let row = first + index / LANES;
    let width = select(0u, params.width, row < params.rows); // nothing to do past the last row
    let start = row * params.width;
    let begin = min(lane * part, width);
    let end = min(begin + part, width);
    var threshold = 0u;
    for (var bit = 0u; bit < 32u; bit++) {
      let candidate = threshold | (0x80000000u >> bit);
      var reached = 0u;
      for (var i = begin; i < end; i++) {
        reached += select(0u, 1u, key_of(x[start + i]) >= candidate);
      }
      // Counts below 2^24 are exact as f32.
      if (sum_lanes(lane, f32(reached)) >= f32(params.k)) {
        threshold = candidate;
      }
    }
    var above = 0u;
    var equal = 0u;
    for (var i = begin; i < end; i++) {
      let key = key_of(x[start + i]);
      above += select(0u, 1u, key > threshold);
      equal += select(0u, 1u, key == threshold);
    }
    let room = params.k - min(u32(sum_lanes(lane, f32(above))), params.k);
    var before = 0u;
    if (LANES > 1u) {
      workgroupBarrier();
      lane_scratch[lane] = f32(equal);
      workgroupBarrier();
      for (var l = 0u; l < lane; l++) {
        before += u32(lane_scratch[l]);
      }
    }
    for (var i = begin; i < end; i++) {
      let value = x[start + i];
      let key = key_of(value);
      var kept = key > threshold;
      if (key == threshold) {
        kept = before < room;
        before += 1u;
      }
      out[start + i] = select(0.0, max(value, 0.0), kept);
    }
  }
}
