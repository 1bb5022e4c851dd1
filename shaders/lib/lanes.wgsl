// Reductions over the lanes of a workgroup that works on one row, in a fixed
// order: the same bits at every run.

override LANES: u32 = 64u;

var<workgroup> lane_scratch: array<f32, LANES>;

// The sum of `value` over all lanes, known to every lane.
fn sum_lanes(lane: u32, value: f32) -> f32 {
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

// The largest `value` over all lanes, known to every lane.
fn max_lanes(lane: u32, value: f32) -> f32 {
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
