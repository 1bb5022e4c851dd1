// Causal attention in one kernel, nothing kept between scores and output:
//   out[q,h] = sum over k <= q of softmax_k(q·k) v[k,h]
// One workgroup for each (query, head), in turns; the scores of a query stay in
// workgroup memory. Joined after lanes.wgsl, LANES lanes.
//
// N rows, H heads, D channels a head, T length of a sequence. rows[n] = (first row of
// n's sequence, T, first pair, position). q, k, v, out: [N, H, D]. Writes `out`.

override MAX_KEYS: u32 = 1024u; // at least the longest sequence

struct Params {
  n_rows: u32, // N
  n_heads: u32, // H
  d_head: u32, // D
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4u>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read> v: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

var<workgroup> weights: array<f32, MAX_KEYS>;

@compute @workgroup_size(LANES)
fn attention_fused(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  for (var i = group.x; i < params.n_rows * params.n_heads; i += groups.x) {
    let row = rows[i / params.n_heads];
    let h = i % params.n_heads;
    let keys = row.w + 1u;
    var largest = -3.4e38;
    for (var key = lane; key < keys; key += LANES) {
      let at = ((row.x + key) * params.n_heads + h) * params.d_head;
      var score = 0.0;
      for (var c = 0u; c < params.d_head; c++) {
        score = fma(q[i * params.d_head + c], k[at + c], score);
      }
      weights[key] = score;
      largest = max(largest, score);
    }
    let m = max_lanes(lane, largest);
    var sum = 0.0;
    for (var key = lane; key < keys; key += LANES) {
      let weight = exp_f32(weights[key] - m);
      weights[key] = weight;
      sum += weight;
    }
    let total = sum_lanes(lane, sum); // its barriers publish the weights too
    for (var c = lane; c < params.d_head; c += LANES) {
      var mean = 0.0;
      for (var key = 0u; key < keys; key++) {
        let at = ((row.x + key) * params.n_heads + h) * params.d_head;
        mean = fma(weights[key], v[at + c], mean);
      }
      out[i * params.d_head + c] = mean / total;
    }
    workgroupBarrier(); // before the weights of the next query
  }
}
