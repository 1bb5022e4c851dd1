// Matrix products with tiles staged through workgroup memory, for GPUs.
// Joined from matmul.wgsl and this.
//
// A workgroup of WG_X x WG_Y invocations makes a tile of 8 WG_Y rows and 8 WG_X
// columns; an invocation makes 8 x 8: rows local.y * 8 + (0 .. 7), columns in two
// groups of four, 4 WG_X apart, so that neighbours read neighbouring vec4s.
// Grid: x = ceil(N / (8 WG_X)), y = ceil(M / (8 WG_Y)).
//
// Any size, offset and leading dimension. TILE_K steps of k at a time: past the
// last k the tiles are filled but not summed.

override LAYOUT: u32 = 0u; // 0 NN, 1 NT, 2 TN
override WG_X: u32 = 8u;
override WG_Y: u32 = 8u;
override TILE_K: u32 = 16u;

// Row k of the tile of A, transposed: [TILE_K][8 WG_Y], four rows a vec4.
var<workgroup> a_tile: array<vec4f, TILE_K * 2u * WG_Y>;
// Row k of the tile of B: [TILE_K][8 WG_X], four columns a vec4.
var<workgroup> b_tile: array<vec4f, TILE_K * 2u * WG_X>;

// A(i, k), B(k, j); zero outside.
fn a_at(i: u32, k: u32) -> f32 {
  if (i >= p.m || k >= p.k) {
    return 0.0;
  }
  return a[p.a_offset + select(i * p.lda + k, k * p.lda + i, LAYOUT == 2u)];
}

fn b_at(k: u32, j: u32) -> f32 {
  if (j >= p.n || k >= p.k) {
    return 0.0;
  }
  return b[p.b_offset + select(k * p.ldb + j, j * p.ldb + k, LAYOUT == 1u)];
}

// Fills the tiles. Neighbouring invocations read neighbouring elements: along k
// where a row of the operand is along k, else along i or j.
fn stage(i: u32, j: u32, k: u32, lane: u32) {
  let lanes = WG_X * WG_Y;
  for (var at = lane; at < TILE_K * 2u * WG_Y; at += lanes) {
    let along_k = LAYOUT != 2u;
    let step = select(at / (2u * WG_Y), at % TILE_K, along_k);
    let group = select(at % (2u * WG_Y), at / TILE_K, along_k);
    let row = i + 4u * group;
    a_tile[step * 2u * WG_Y + group] = vec4f(
      a_at(row, k + step),
      a_at(row + 1u, k + step),
      a_at(row + 2u, k + step),
      a_at(row + 3u, k + step),
    );
  }
  for (var at = lane; at < TILE_K * 2u * WG_X; at += lanes) {
    let along_k = LAYOUT == 1u;
    let step = select(at / (2u * WG_X), at % TILE_K, along_k);
    let group = select(at % (2u * WG_X), at / TILE_K, along_k);
    let column = j + 4u * group;
    b_tile[step * 2u * WG_X + group] = vec4f(
      b_at(k + step, column),
      b_at(k + step, column + 1u),
      b_at(k + step, column + 2u),
      b_at(k + step, column + 3u),
    );
  }
}

@compute @workgroup_size(WG_X, WG_Y)
fn matmul_staged(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = workgroup.y * 8u * WG_Y;
  let j = workgroup.x * 8u * WG_X;
  var s0: array<vec4f, 8>; // rows, first group of columns
  var s1: array<vec4f, 8>; // rows, second group of columns
  for (var k = 0u; k < p.k; k += TILE_K) {
    stage(i, j, k, lane);
    workgroupBarrier();
    let steps = min(TILE_K, p.k - k);
    for (var step = 0u; step < steps; step++) {
      let a_low = a_tile[step * 2u * WG_Y + 2u * local.y];
      let a_high = a_tile[step * 2u * WG_Y + 2u * local.y + 1u];
      let b0 = b_tile[step * 2u * WG_X + local.x];
      let b1 = b_tile[step * 2u * WG_X + WG_X + local.x];
      s0[0] = fma(vec4f(a_low.x), b0, s0[0]);
      s1[0] = fma(vec4f(a_low.x), b1, s1[0]);
      s0[1] = fma(vec4f(a_low.y), b0, s0[1]);
      s1[1] = fma(vec4f(a_low.y), b1, s1[1]);
      s0[2] = fma(vec4f(a_low.z), b0, s0[2]);
      s1[2] = fma(vec4f(a_low.z), b1, s1[2]);
      s0[3] = fma(vec4f(a_low.w), b0, s0[3]);
      s1[3] = fma(vec4f(a_low.w), b1, s1[3]);
      s0[4] = fma(vec4f(a_high.x), b0, s0[4]);
      s1[4] = fma(vec4f(a_high.x), b1, s1[4]);
      s0[5] = fma(vec4f(a_high.y), b0, s0[5]);
      s1[5] = fma(vec4f(a_high.y), b1, s1[5]);
      s0[6] = fma(vec4f(a_high.z), b0, s0[6]);
      s1[6] = fma(vec4f(a_high.z), b1, s1[6]);
      s0[7] = fma(vec4f(a_high.w), b0, s0[7]);
      s1[7] = fma(vec4f(a_high.w), b1, s1[7]);
    }
    workgroupBarrier();
  }
  let row = i + 8u * local.y;
  let j0 = j + 4u * local.x;
  let j1 = j0 + 4u * WG_X;
  let bias0 = bias_at(j0);
  let bias1 = bias_at(j1);
  store(row, j0, s0[0], bias0);
  store(row, j1, s1[0], bias1);
  store(row + 1u, j0, s0[1], bias0);
  store(row + 1u, j1, s1[1], bias1);
  store(row + 2u, j0, s0[2], bias0);
  store(row + 2u, j1, s1[2], bias1);
  store(row + 3u, j0, s0[3], bias0);
  store(row + 3u, j1, s1[3], bias1);
  store(row + 4u, j0, s0[4], bias0);
  store(row + 4u, j1, s1[4], bias1);
  store(row + 5u, j0, s0[5], bias0);
  store(row + 5u, j1, s1[5], bias1);
  store(row + 6u, j0, s0[6], bias0);
  store(row + 6u, j1, s1[6], bias1);
  store(row + 7u, j0, s0[7], bias0);
  store(row + 7u, j1, s1[7], bias1);
}
