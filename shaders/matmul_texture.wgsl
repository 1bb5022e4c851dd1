// Matrix products from textures, for CPU rasterisers: a texel of a read-only
// storage texture costs llvmpipe 10 cycles, a vec4 of a storage buffer 28, a texel
// of a sampled texture 24. Joined from matmul.wgsl, matmul_tile.wgsl and this.
//
// One workgroup of LANES invocations makes ROWS x 128 outputs; an invocation
// makes ROWS x 16. Grid: x = ceil(M / ROWS), y = ceil(N / 128).
//
// A matrix [rows, columns] is a texture of ceil(columns / 4) by `rows` texels, four
// columns a texel. One with more rows than a texture may be high is folded: each
// b_fold rows more stand to the right of the rows before them. b_fold is a
// multiple of 4, and at least the number of rows where nothing is folded.
//   matmul_texture_nn  a_texture: A [M, K], b_texture: B [K, N]
//   matmul_texture_nt  a_texture: A [M, K], b_texture: B [N, K], a weight just as nn reads it
// A is not folded. For TN, pack A transposed. Offsets and leading dimensions of
// A and B do not count here, but b_offset is the first row of B (a multiple of 4 for nn).
//
// matmul_pack writes the texture of the matrix at a_offset: [m, k] with lda, or with
// TRANSPOSE its transpose, [k, m] with lda. One workgroup packs LANES x 16
// texels. Grid: x = ceil(ceil(K / 4) / LANES), y = ceil(M / 16). Zeros follow the last
// column, so that sums need no steps of one k at their end: fma(0, b, acc) is acc.

override TRANSPOSE: bool = false;

@group(0) @binding(5) var a_texture: texture_storage_2d<rgba32float, read>;
@group(0) @binding(6) var b_texture: texture_storage_2d<rgba32float, read>;
@group(0) @binding(7) var packed: texture_storage_2d<rgba32float, write>;

// Rows i .. i + 15 of A at k .. k + 3. Rows past the last repeat it: they are not stored.
fn a_texels(i: u32, k: u32) -> Column {
  let last = p.m - 1u;
  var out: Column;
  out[0] = textureLoad(a_texture, vec2u(k / 4u, min(i, last)));
  if (ROWS > 1u) {
    out[1] = textureLoad(a_texture, vec2u(k / 4u, min(i + 1u, last)));
    out[2] = textureLoad(a_texture, vec2u(k / 4u, min(i + 2u, last)));
    out[3] = textureLoad(a_texture, vec2u(k / 4u, min(i + 3u, last)));
  }
  if (ROWS > 4u) {
    out[4] = textureLoad(a_texture, vec2u(k / 4u, min(i + 4u, last)));
    out[5] = textureLoad(a_texture, vec2u(k / 4u, min(i + 5u, last)));
    out[6] = textureLoad(a_texture, vec2u(k / 4u, min(i + 6u, last)));
    out[7] = textureLoad(a_texture, vec2u(k / 4u, min(i + 7u, last)));
  }
  if (ROWS > 8u) {
    out[8] = textureLoad(a_texture, vec2u(k / 4u, min(i + 8u, last)));
    out[9] = textureLoad(a_texture, vec2u(k / 4u, min(i + 9u, last)));
    out[10] = textureLoad(a_texture, vec2u(k / 4u, min(i + 10u, last)));
    out[11] = textureLoad(a_texture, vec2u(k / 4u, min(i + 11u, last)));
    out[12] = textureLoad(a_texture, vec2u(k / 4u, min(i + 12u, last)));
    out[13] = textureLoad(a_texture, vec2u(k / 4u, min(i + 13u, last)));
    out[14] = textureLoad(a_texture, vec2u(k / 4u, min(i + 14u, last)));
    out[15] = textureLoad(a_texture, vec2u(k / 4u, min(i + 15u, last)));
  }
  return out;
}

// Row `at.y` of B, its texels starting at.x texels to the right.
fn b_row(at: vec2u, x: vec4u) -> Row {
  return Row(
    textureLoad(b_texture, vec2u(at.x + x.x, at.y)),
    textureLoad(b_texture, vec2u(at.x + x.y, at.y)),
    textureLoad(b_texture, vec2u(at.x + x.z, at.y)),
    textureLoad(b_texture, vec2u(at.x + x.w, at.y)),
  );
}

// Four rows of B; rows past the `last` of them repeat it, as A is 0 there.
fn b_strip(at: vec2u, x: vec4u, last: u32) -> Strip {
  return Strip(
    b_row(at, x),
    b_row(at + vec2u(0u, min(1u, last)), x),
    b_row(at + vec2u(0u, min(2u, last)), x),
    b_row(at + vec2u(0u, min(3u, last)), x),
  );
}

@compute @workgroup_size(LANES)
fn matmul_texture_nn(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = workgroup.x * ROWS;
  let j = columns(workgroup, local.x);
  let width = (p.n + 3u) / 4u;
  let x = min(j / 4u, vec4u(width - 1u));
  var at = vec2u(p.b_offset / p.b_fold * width, p.b_offset % p.b_fold);
  var tile: Tile;
  for (var k = 0u; k < p.k; k += 4u) {
    step4(&tile, a_texels(i, k), b_strip(at, x, p.k - 1u - k));
    at.y += 4u;
    if (at.y >= p.b_fold) {
      at = vec2u(at.x + width, 0u);
    }
  }
  store_tile(i, j, &tile);
}

// Where row j + b_offset of B [N, K] begins; the last one for all after it.
fn b_start(j: u32) -> vec2u {
  let row = p.b_offset + min(j, p.n - 1u);
  return vec2u(row / p.b_fold * ((p.k + 3u) / 4u), row % p.b_fold);
}

// Where rows j .. j + 3 of B begin: x of each, y of each.
struct Starts {
  x: vec4u,
  y: vec4u,
}

fn b_starts(j: u32) -> Starts {
  let s0 = b_start(j);
  let s1 = b_start(j + 1u);
  let s2 = b_start(j + 2u);
  let s3 = b_start(j + 3u);
  return Starts(vec4u(s0.x, s1.x, s2.x, s3.x), vec4u(s0.y, s1.y, s2.y, s3.y));
}

// Four rows of B at k .. k + 3, as columns.
fn b_columns4(at: Starts, k: u32) -> mat4x4f {
  return transpose(mat4x4f(
    textureLoad(b_texture, vec2u(at.x.x + k / 4u, at.y.x)),
    textureLoad(b_texture, vec2u(at.x.y + k / 4u, at.y.y)),
    textureLoad(b_texture, vec2u(at.x.z + k / 4u, at.y.z)),
    textureLoad(b_texture, vec2u(at.x.w + k / 4u, at.y.w)),
  ));
}

@compute @workgroup_size(LANES)
fn matmul_texture_nt(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = workgroup.x * ROWS;
  let j = columns(workgroup, local.x);
  let s0 = b_starts(j.x);
  let s1 = b_starts(j.y);
  let s2 = b_starts(j.z);
  let s3 = b_starts(j.w);
  var tile: Tile;
  for (var k = 0u; k < p.k; k += 4u) {
    step4(&tile, a_texels(i, k), strip(b_columns4(s0, k), b_columns4(s1, k), b_columns4(s2, k), b_columns4(s3, k)));
  }
  store_tile(i, j, &tile);
}

fn element(row: u32, column: u32) -> f32 {
  if (column >= p.k) {
    return 0.0;
  }
  return a[p.a_offset + select(row * p.lda + column, column * p.lda + row, TRANSPOSE)];
}

@compute @workgroup_size(LANES)
fn matmul_pack(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let x = workgroup.x * LANES + local.x;
  let k = 4u * x;
  if (k >= p.k) {
    return;
  }
  for (var row = workgroup.y * 16u; row < min(workgroup.y * 16u + 16u, p.m); row++) {
    let value = vec4f(element(row, k), element(row, k + 1u), element(row, k + 2u), element(row, k + 3u));
    let at = vec2u(row / p.b_fold * ((p.k + 3u) / 4u) + x, row % p.b_fold);
    textureStore(packed, at, value);
  }
}
