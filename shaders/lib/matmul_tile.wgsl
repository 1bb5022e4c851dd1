// A tile of ROWS x 16 outputs in the registers of one invocation, for the kernels
// that use no workgroup memory. The tile is written out row by row because only
// constant indices keep it in registers: with loops it goes to memory, and on
// llvmpipe the whole product takes 3.5 times as long.

override ROWS: u32 = 16u; // of a tile: 1, 4, 8 or 16

const LANES = 8u; // invocations of a workgroup, side by side along N: one SIMD register of floats

// One row of a tile: four groups of four columns, LANES groups apart.
struct Row {
  g0: vec4f,
  g1: vec4f,
  g2: vec4f,
  g3: vec4f,
}

// Four rows of B, k to k + 3, in the columns of the tile.
struct Strip {
  k0: Row,
  k1: Row,
  k2: Row,
  k3: Row,
}

alias Tile = array<Row, 16>;
alias Column = array<vec4f, 16>; // of A: four values of k for every row of the tile

fn row_step4(sum: Row, a: vec4f, b: Strip) -> Row {
  let x = vec4f(a.x);
  let y = vec4f(a.y);
  let z = vec4f(a.z);
  let w = vec4f(a.w);
  return Row(
    fma(w, b.k3.g0, fma(z, b.k2.g0, fma(y, b.k1.g0, fma(x, b.k0.g0, sum.g0)))),
    fma(w, b.k3.g1, fma(z, b.k2.g1, fma(y, b.k1.g1, fma(x, b.k0.g1, sum.g1)))),
    fma(w, b.k3.g2, fma(z, b.k2.g2, fma(y, b.k1.g2, fma(x, b.k0.g2, sum.g2)))),
    fma(w, b.k3.g3, fma(z, b.k2.g3, fma(y, b.k1.g3, fma(x, b.k0.g3, sum.g3)))),
  );
}

fn row_step1(sum: Row, a: f32, b: Row) -> Row {
  return Row(
    fma(vec4f(a), b.g0, sum.g0),
    fma(vec4f(a), b.g1, sum.g1),
    fma(vec4f(a), b.g2, sum.g2),
    fma(vec4f(a), b.g3, sum.g3),
  );
}

// Adds four steps of k to every row of the tile.
fn step4(tile: ptr<function, Tile>, a: Column, b: Strip) {
  (*tile)[0] = row_step4((*tile)[0], a[0], b);
  if (ROWS > 1u) {
    (*tile)[1] = row_step4((*tile)[1], a[1], b);
    (*tile)[2] = row_step4((*tile)[2], a[2], b);
    (*tile)[3] = row_step4((*tile)[3], a[3], b);
  }
  if (ROWS > 4u) {
    (*tile)[4] = row_step4((*tile)[4], a[4], b);
    (*tile)[5] = row_step4((*tile)[5], a[5], b);
    (*tile)[6] = row_step4((*tile)[6], a[6], b);
    (*tile)[7] = row_step4((*tile)[7], a[7], b);
  }
  if (ROWS > 8u) {
    (*tile)[8] = row_step4((*tile)[8], a[8], b);
    (*tile)[9] = row_step4((*tile)[9], a[9], b);
    (*tile)[10] = row_step4((*tile)[10], a[10], b);
    (*tile)[11] = row_step4((*tile)[11], a[11], b);
    (*tile)[12] = row_step4((*tile)[12], a[12], b);
    (*tile)[13] = row_step4((*tile)[13], a[13], b);
    (*tile)[14] = row_step4((*tile)[14], a[14], b);
    (*tile)[15] = row_step4((*tile)[15], a[15], b);
  }
}

// Adds one step of k: the last K % 4 of them. Only the x of `a` counts.
fn step1(tile: ptr<function, Tile>, a: Column, b: Row) {
  (*tile)[0] = row_step1((*tile)[0], a[0].x, b);
  if (ROWS > 1u) {
    (*tile)[1] = row_step1((*tile)[1], a[1].x, b);
    (*tile)[2] = row_step1((*tile)[2], a[2].x, b);
    (*tile)[3] = row_step1((*tile)[3], a[3].x, b);
  }
  if (ROWS > 4u) {
    (*tile)[4] = row_step1((*tile)[4], a[4].x, b);
    (*tile)[5] = row_step1((*tile)[5], a[5].x, b);
    (*tile)[6] = row_step1((*tile)[6], a[6].x, b);
    (*tile)[7] = row_step1((*tile)[7], a[7].x, b);
  }
  if (ROWS > 8u) {
    (*tile)[8] = row_step1((*tile)[8], a[8].x, b);
    (*tile)[9] = row_step1((*tile)[9], a[9].x, b);
    (*tile)[10] = row_step1((*tile)[10], a[10].x, b);
    (*tile)[11] = row_step1((*tile)[11], a[11].x, b);
    (*tile)[12] = row_step1((*tile)[12], a[12].x, b);
    (*tile)[13] = row_step1((*tile)[13], a[13].x, b);
    (*tile)[14] = row_step1((*tile)[14], a[14].x, b);
    (*tile)[15] = row_step1((*tile)[15], a[15].x, b);
  }
}

// First columns of the invocation's four groups. The workgroups of row blocks come
// first in the grid (x), so that a strip of B stays in the cache.
fn columns(workgroup: vec3u, lane: u32) -> vec4u {
  return 4u * (workgroup.y * 4u * LANES + lane + LANES * vec4u(0u, 1u, 2u, 3u));
}

// Four groups of columns, each with one column (of the matrix type) a step of k.
fn strip(g0: mat4x4f, g1: mat4x4f, g2: mat4x4f, g3: mat4x4f) -> Strip {
  return Strip(
    Row(g0[0], g1[0], g2[0], g3[0]),
    Row(g0[1], g1[1], g2[1], g3[1]),
    Row(g0[2], g1[2], g2[2], g3[2]),
    Row(g0[3], g1[3], g2[3], g3[3]),
  );
}

// Moves every row of the tile up by one.
fn shift(tile: ptr<function, Tile>) {
  if (ROWS > 1u) {
    (*tile)[0] = (*tile)[1];
    (*tile)[1] = (*tile)[2];
    (*tile)[2] = (*tile)[3];
  }
  if (ROWS > 4u) {
    (*tile)[3] = (*tile)[4];
    (*tile)[4] = (*tile)[5];
    (*tile)[5] = (*tile)[6];
    (*tile)[6] = (*tile)[7];
  }
  if (ROWS > 8u) {
    (*tile)[7] = (*tile)[8];
    (*tile)[8] = (*tile)[9];
    (*tile)[9] = (*tile)[10];
    (*tile)[10] = (*tile)[11];
    (*tile)[11] = (*tile)[12];
    (*tile)[12] = (*tile)[13];
    (*tile)[13] = (*tile)[14];
    (*tile)[14] = (*tile)[15];
  }
}

// Writes the tile whose first row is i. Always the first row and then a shift:
// sixteen copies of `store` would make llvmpipe compile for seconds.
fn store_tile(i: u32, j: vec4u, tile: ptr<function, Tile>) {
  let bias0 = bias_at(j.x);
  let bias1 = bias_at(j.y);
  let bias2 = bias_at(j.z);
  let bias3 = bias_at(j.w);
  for (var row = i; row < min(i + ROWS, p.m); row++) {
    let sum = (*tile)[0];
    store(row, j.x, sum.g0, bias0);
    store(row, j.y, sum.g1, bias1);
    store(row, j.z, sum.g2, bias2);
    store(row, j.w, sum.g3, bias3);
    shift(tile);
  }
}
