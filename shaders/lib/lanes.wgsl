// Reductions over the lanes that work on one row, in a fixed order: the same bits at
// every run. A GPU gives one row to many lanes, ROWS = 1; a CPU rasteriser gives each
// lane a row of its own, LANES = 1, and needs no barriers. GROUP = LANES * ROWS.

override LANES: u32 = 64u;
override ROWS: u32 = 1u;
override GROUP: u32 = 64u;

var<workgroup> lane_scratch: array<f32, LANES>;

// The sum of `value` over the lanes of a row, known to each of them.
fn sum_lanes(lane: u32, value: f32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  workgroupBarrier();
  lane_scratch[lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      lane_scratch[lane] += lane_scratch[lane + half];
    }
    workgroupBarrier();
  }
  return lane_scratch[0];
}

// The largest `value` over the lanes of a row, known to each of them.
fn max_lanes(lane: u32, value: f32) -> f32 {
  if (LANES == 1u) {
    return value;
  }
  workgroupBarrier();
  lane_scratch[lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      lane_scratch[lane] = max(lane_scratch[lane], lane_scratch[lane + half]);
    }
    workgroupBarrier();
  }
  return lane_scratch[0];
}
