// Matrix products from textures, for CPU rasterisers: a texel of a read-only
// storage texture costs llvmpipe 10 cycles, a vec4 of a storage buffer 28, a texel
// of a sampled texture 24. Joined from matmul.wgsl, lib/matmul_tile.wgsl and this.
//
// One workgroup of LANES invocations makes ROWS x 128 outputs; an invocation
// makes ROWS x 16. Grid: x = ceil(M / ROWS), y = ceil(N / 128).
//
// A matrix [rows, columns] is packed in panels of 128 columns: four columns a texel, 32
// texels a row, the rows of a panel one after another, then the next panel. So what a tile
// reads one after another lies so in memory, whichever way it goes. Zeros fill panels up to
// 128 columns and a multiple of 16 rows: fma(0, 0, acc) is acc. Texel t of all these is at
// (t mod WIDTH, t / WIDTH) of the texture.
//   matmul_texture_nn  a_texture: A [M, K], b_texture: B [K, N]
//   matmul_texture_nt  a_texture: A [M, K], b_texture: B [N, K], a weight just as nn reads it
// For TN, pack A transposed. Offsets and leading dimensions of A and B do not count here.
//
// matmul_pack packs the matrix at a_offset: [m, k] with lda, or with TRANSPOSE its
// transpose, [k, m] with lda. One workgroup packs LANES x 16 texels. Grid:
// x = 4 ceil(K / 128), y = ceil(M / 16).

override TRANSPOSE: bool = false;

const WIDTH = 2048u; // texels: 64 rows of a panel, so that no 16 of them are on two rows
const ACROSS = 32u; // texels of a panel's row

@group(0) @binding(5) var a_texture: texture_storage_2d<rgba32float, read>;
@group(0) @binding(6) var b_texture: texture_storage_2d<rgba32float, read>;
@group(0) @binding(7) var packed: texture_storage_2d<rgba32float, write>;

fn filled_up(rows: u32) -> u32 {
  return (rows + 15u) / 16u * 16u;
}

// Where a row of a panel begins, in the texture of a matrix of so many rows.
fn start_of(panel: u32, row: u32, rows: u32) -> vec2u {
  let t = (panel * filled_up(rows) + row) * ACROSS;
  return vec2u(t % WIDTH, t / WIDTH);
}

// Texels of k in the panel.
fn steps_in(panel: u32) -> u32 {
  return min((p.k + 3u) / 4u - panel * ACROSS, ACROSS);
}

// Four values of k of ROWS rows of A, the first row's at `at`.
fn a_texels(at: vec2u) -> Column {
  var out: Column;
  out[0] = textureLoad(a_texture, at);
  if (ROWS > 1u) {
    out[1] = textureLoad(a_texture, at + vec2u(ACROSS, 0u));
    out[2] = textureLoad(a_texture, at + vec2u(2u * ACROSS, 0u));
    out[3] = textureLoad(a_texture, at + vec2u(3u * ACROSS, 0u));
  }
  if (ROWS > 4u) {
    out[4] = textureLoad(a_texture, at + vec2u(4u * ACROSS, 0u));
    out[5] = textureLoad(a_texture, at + vec2u(5u * ACROSS, 0u));
    out[6] = textureLoad(a_texture, at + vec2u(6u * ACROSS, 0u));
    out[7] = textureLoad(a_texture, at + vec2u(7u * ACROSS, 0u));
  }
  if (ROWS > 8u) {
    out[8] = textureLoad(a_texture, at + vec2u(8u * ACROSS, 0u));
    out[9] = textureLoad(a_texture, at + vec2u(9u * ACROSS, 0u));
    out[10] = textureLoad(a_texture, at + vec2u(10u * ACROSS, 0u));
    out[11] = textureLoad(a_texture, at + vec2u(11u * ACROSS, 0u));
    out[12] = textureLoad(a_texture, at + vec2u(12u * ACROSS, 0u));
    out[13] = textureLoad(a_texture, at + vec2u(13u * ACROSS, 0u));
    out[14] = textureLoad(a_texture, at + vec2u(14u * ACROSS, 0u));
    out[15] = textureLoad(a_texture, at + vec2u(15u * ACROSS, 0u));
  }
  return out;
}

// A row of B in a panel: the invocation's groups of columns are LANES texels apart.
fn b_row(at: vec2u) -> Row {
  return Row(
    textureLoad(b_texture, at),
    textureLoad(b_texture, at + vec2u(LANES, 0u)),
    textureLoad(b_texture, at + vec2u(2u * LANES, 0u)),
    textureLoad(b_texture, at + vec2u(3u * LANES, 0u)),
  );
}

fn b_strip(at: vec2u) -> Strip {
  return Strip(
    b_row(at),
    b_row(at + vec2u(ACROSS, 0u)),
    b_row(at + vec2u(2u * ACROSS, 0u)),
    b_row(at + vec2u(3u * ACROSS, 0u)),
  );
}

@compute @workgroup_size(LANES)
fn matmul_texture_nn(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = workgroup.x * ROWS;
  var b_at = start_of(workgroup.y, 0u, p.k);
  var tile: Tile;
  for (var panel = 0u; panel * 4u * ACROSS < p.k; panel++) {
    let a_at = start_of(panel, i, p.m);
    for (var q = 0u; q < steps_in(panel); q++) {
      step4(&tile, a_texels(a_at + vec2u(q, 0u)), b_strip(b_at + vec2u(local.x, 0u)));
      b_at.x += 4u * ACROSS;
      if (b_at.x == WIDTH) {
        b_at = vec2u(0u, b_at.y + 1u);
      }
    }
  }
  store_tile(i, columns(workgroup, local.x), &tile);
}

// Rows j .. j + 3 of B at four values of k, as columns; row j's at `at`.
fn b_columns4(at: vec2u) -> mat4x4f {
  return transpose(mat4x4f(
    textureLoad(b_texture, at),
    textureLoad(b_texture, at + vec2u(ACROSS, 0u)),
    textureLoad(b_texture, at + vec2u(2u * ACROSS, 0u)),
    textureLoad(b_texture, at + vec2u(3u * ACROSS, 0u)),
  ));
}

@compute @workgroup_size(LANES)
fn matmul_texture_nt(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let i = workgroup.x * ROWS;
  let j = columns(workgroup, local.x);
  let row = min(j, vec4u(filled_up(p.n) - 4u));
  var tile: Tile;
  for (var panel = 0u; panel * 4u * ACROSS < p.k; panel++) {
    let a_at = start_of(panel, i, p.m);
    let s0 = start_of(panel, row.x, p.n);
    let s1 = start_of(panel, row.y, p.n);
    let s2 = start_of(panel, row.z, p.n);
    let s3 = start_of(panel, row.w, p.n);
    for (var q = 0u; q < steps_in(panel); q++) {
      let to = vec2u(q, 0u);
      let b = strip(b_columns4(s0 + to), b_columns4(s1 + to), b_columns4(s2 + to), b_columns4(s3 + to));
      step4(&tile, a_texels(a_at + to), b);
    }
  }
  store_tile(i, j, &tile);
}

fn element(row: u32, column: u32) -> f32 {
  if (row >= p.m || column >= p.k) {
    return 0.0;
  }
  return a[p.a_offset + select(row * p.lda + column, column * p.lda + row, TRANSPOSE)];
}

@compute @workgroup_size(LANES)
fn matmul_pack(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let x = workgroup.x * LANES + local.x;
  let first = workgroup.y * 16u;
  var at = start_of(x / ACROSS, first, p.m) + vec2u(x % ACROSS, 0u);
  for (var row = first; row < first + 16u; row++) {
    let k = 4u * x;
    let value = vec4f(element(row, k), element(row, k + 1u), element(row, k + 2u), element(row, k + 3u));
    textureStore(packed, at, value);
    at.x += ACROSS;
  }
}
