// Matrix products from storage buffers without workgroup memory, for CPU rasterisers.
// Joined from matmul.wgsl, lib/matmul_tile.wgsl and this.
//
// One workgroup of LANES invocations makes ROWS x 128 outputs; an invocation
// makes ROWS x 16. Grid: x = ceil(M / ROWS), y = ceil(N / 128).
//
// matmul_nn and _nt read vec4s: a_offset, b_offset, lda, ldb and the lengths of the
// rows of A and B are multiples of 4 (NN: K, N; NT: K).
// matmul_any reads single floats, whatever the alignment, in any layout.

override LAYOUT: u32 = 0u; // of matmul_any: 0 NN, 1 NT, 2 TN

@group(0) @binding(1) var<storage, read> a4: array<vec4f>;
@group(0) @binding(2) var<storage, read> b4: array<vec4f>;

// Rows i .. i + 15 of A [M, K] at k .. k + 3. Rows past the last repeat it: they are not stored.
fn a_rows(i: u32, k: u32) -> Column {
  var out: Column;
  out[0] = a4[(p.a_offset + min(i, p.m - 1u) * p.lda + k) / 4u];
  if (ROWS > 1u) {
    out[1] = a4[(p.a_offset + min(i + 1u, p.m - 1u) * p.lda + k) / 4u];
    out[2] = a4[(p.a_offset + min(i + 2u, p.m - 1u) * p.lda + k) / 4u];
    out[3] = a4[(p.a_offset + min(i + 3u, p.m - 1u) * p.lda + k) / 4u];
  }
  if (ROWS > 4u) {
    out[4] = a4[(p.a_offset + min(i + 4u, p.m - 1u) * p.lda + k) / 4u];
    out[5] = a4[(p.a_offset + min(i + 5u, p.m - 1u) * p.lda + k) / 4u];
    out[6] = a4[(p.a_offset + min(i + 6u, p.m - 1u) * p.lda + k) / 4u];
    out[7] = a4[(p.a_offset + min(i + 7u, p.m - 1u) * p.lda + k) / 4u];
  }
  if (ROWS > 8u) {
    out[8] = a4[(p.a_offset + min(i + 8u, p.m - 1u) * p.lda + k) / 4u];
    out[9] = a4[(p.a_offset + min(i + 9u, p.m - 1u) * p.lda + k) / 4u];
    out[10] = a4[(p.a_offset + min(i + 10u, p.m - 1u) * p.lda + k) / 4u];
    out[11] = a4[(p.a_offset + min(i + 11u, p.m - 1u) * p.lda + k) / 4u];
    out[12] = a4[(p.a_offset + min(i + 12u, p.m - 1u) * p.lda + k) / 4u];
    out[13] = a4[(p.a_offset + min(i + 13u, p.m - 1u) * p.lda + k) / 4u];
    out[14] = a4[(p.a_offset + min(i + 14u, p.m - 1u) * p.lda + k) / 4u];
    out[15] = a4[(p.a_offset + min(i + 15u, p.m - 1u) * p.lda + k) / 4u];
  }
  return out;
}

// Single values of A at k, in any layout, as the x of each row.
fn a_single(i: u32, k: u32) -> f32 {
  let row = min(i, p.m - 1u);
  return a[p.a_offset + select(row * p.lda + k, k * p.lda + row, LAYOUT == 2u)];
}

fn a_singles(i: u32, k: u32) -> Column {
  var out: Column;
  out[0].x = a_single(i, k);
  if (ROWS > 1u) {
    out[1].x = a_single(i + 1u, k);
    out[2].x = a_single(i + 2u, k);
    out[3].x = a_single(i + 3u, k);
  }
  if (ROWS > 4u) {
    out[4].x = a_single(i + 4u, k);
    out[5].x = a_single(i + 5u, k);
    out[6].x = a_single(i + 6u, k);
    out[7].x = a_single(i + 7u, k);
  }
  if (ROWS > 8u) {
    out[8].x = a_single(i + 8u, k);
    out[9].x = a_single(i + 9u, k);
    out[10].x = a_single(i + 10u, k);
    out[11].x = a_single(i + 11u, k);
    out[12].x = a_single(i + 12u, k);
    out[13].x = a_single(i + 13u, k);
    out[14].x = a_single(i + 14u, k);
    out[15].x = a_single(i + 15u, k);
  }
  return out;
}

// The vec4s of columns j in the first row of B [K, N].
fn b_first(j: vec4u) -> vec4u {
  return (p.b_offset + min(j, vec4u(p.n - 4u))) / 4u;
}

// A row of B [K, N] from its vec4s.
fn b_row(at: vec4u) -> Row {
  return Row(b4[at.x], b4[at.y], b4[at.z], b4[at.w]);
}

// Four rows of B, `pitch` vec4s apart.
fn b_strip(at: vec4u, pitch: u32) -> Strip {
  return Strip(b_row(at), b_row(at + pitch), b_row(at + 2u * pitch), b_row(at + 3u * pitch));
}

// Rows j .. j + 3 of B [N, K] at k .. k + 3, as columns.
fn b_columns4(k: u32, j: u32) -> mat4x4f {
  let last = p.n - 1u;
  let at = p.b_offset + k;
  return transpose(mat4x4f(
    b4[(at + min(j, last) * p.ldb) / 4u],
    b4[(at + min(j + 1u, last) * p.ldb) / 4u],
    b4[(at + min(j + 2u, last) * p.ldb) / 4u],
    b4[(at + min(j + 3u, last) * p.ldb) / 4u],
  ));
}

fn b_strip_transposed(k: u32, j: vec4u) -> Strip {
  let g0 = b_columns4(k, j.x);
  let g1 = b_columns4(k, j.y);
  let g2 = b_columns4(k, j.z);
  let g3 = b_columns4(k, j.w);
  return strip(g0, g1, g2, g3);
}

// B at k in columns j .. j + 3, in any layout.
fn b_single4(k: u32, j: u32) -> vec4f {
  let column = min(vec4u(j, j + 1u, j + 2u, j + 3u), vec4u(p.n - 1u));
  let at = p.b_offset + select(k * p.ldb + column, column * p.ldb + k, LAYOUT == 1u);
  return vec4f(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn b_singles(k: u32, j: vec4u) -> Row {
  return Row(b_single4(k, j.x), b_single4(k, j.y), b_single4(k, j.z), b_single4(k, j.w));
}

@compute @workgroup_size(LANES)
fn matmul_nn(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = workgroup.x * ROWS;
  let j = columns(workgroup, local.x);
  let pitch = p.ldb / 4u;
  var at = b_first(j);
  var tile: Tile;
  for (var k = 0u; k < p.k; k += 4u) {
    step4(&tile, a_rows(i, k), b_strip(at, pitch));
    at += 4u * pitch;
  }
  store_tile(i, j, &tile);
}

@compute @workgroup_size(LANES)
fn matmul_nt(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = workgroup.x * ROWS;
  let j = columns(workgroup, local.x);
  var tile: Tile;
  for (var k = 0u; k < p.k; k += 4u) {
    step4(&tile, a_rows(i, k), b_strip_transposed(k, j));
  }
  store_tile(i, j, &tile);
}

@compute @workgroup_size(LANES)
fn matmul_any(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = workgroup.x * ROWS;
  let j = columns(workgroup, local.x);
  var tile: Tile;
  for (var k = 0u; k < p.k; k++) {
    step1(&tile, a_singles(i, k), b_singles(k, j));
  }
  store_tile(i, j, &tile);
}
