// Candidates for the largest and smallest entries of rows. A row's entries lie in quads,
// vec4s of its memory; block b of B is every B-th quad, from b on. `block_ends` finds the
// first of both ends of each block. The k first entries of a row are in the k blocks that
// begin best: `row_top_k` chooses those, the next one in the order at a time, and copies
// them. The host finds the entries among them.
//
// R rows, W width, B blocks. x: from `start` on, [R, W]. ends: [2, R, B]. Writes `out`, for
// each row its chosen blocks, `largest` and then `smallest` (B at most): a quad that begins
// with the block's number, and then its `quads` quads.

override LANES: u32 = 64u;
override K: u32 = 16u; // room for chosen blocks, at least `largest` and `smallest`

const GROUP = 64u; // threads of a workgroup of `block_ends`

struct Params {
  start: u32,
  rows: u32, // R
  width: u32, // W
  blocks: u32, // B
  quads: u32, // of a block, at most
  largest: u32,
  smallest: u32,
}

// Of equal keys the entry with the lower place comes first.
struct Entry {
  key: i32,
  place: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4u>; // floats, by their bits
@group(0) @binding(2) var<storage, read_write> ends: array<Entry>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4u>;

const INFINITY_BITS = 0x7f800000u;
const ABSENT = 0xffffffffu;
const WORST = -0x7fffffff; // below -infinity
const BEST = 0x7fffffff; // above infinity

// The quads that a row lies in.
struct Span {
  first: u32,
  count: u32,
  before: u32, // entries of the first quad that are not the row's
}

fn span_of(row: u32) -> Span {
  let start = params.start + row * params.width;
  let before = start % 4u;
  return Span(start / 4u, (before + params.width + 3u) / 4u, before);
}

@compute @workgroup_size(GROUP)
fn block_ends(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  for (var i = id.x; i < params.rows * params.blocks; i += groups.x * GROUP) {
    let span = span_of(i / params.blocks);
    var high = vec4i(WORST);
    var low = vec4i(WORST);
    var high_at = vec4u(ABSENT);
    var low_at = vec4u(ABSENT);
    for (var q = i % params.blocks; q < span.count; q += params.blocks) {
      // Integers in the order of the floats; -0 equals 0, and a NaN comes first from
      // either end, level with an infinity.
      let bits = x[span.first + q];
      let size = bits & vec4u(0x7fffffffu);
      let magnitude = vec4i(min(size, vec4u(INFINITY_BITS)));
      let is_nan = size > vec4u(INFINITY_BITS);
      let place = 4u * q + vec4u(0u, 1u, 2u, 3u) - span.before;
      let is_inside = place < vec4u(params.width); // what is before the row is far above it
      var above = select(magnitude, -magnitude, (bits != size) & !is_nan);
      var below = select(-above, magnitude, is_nan);
      above = select(vec4i(WORST), above, is_inside);
      below = select(vec4i(WORST), below, is_inside);
      let is_higher = above > high;
      let is_lower = below > low;
      high = select(high, above, is_higher);
      low = select(low, below, is_lower);
      high_at = select(high_at, place, is_higher);
      low_at = select(low_at, place, is_lower);
    }
    ends[i] = first_of_quad(high, high_at);
    ends[params.rows * params.blocks + i] = first_of_quad(low, low_at);
  }
}

fn is_before(a: Entry, b: Entry) -> bool {
  return a.key > b.key || (a.key == b.key && a.place < b.place);
}

fn first_of_quad(keys: vec4i, places: vec4u) -> Entry {
  var first = Entry(keys.x, places.x);
  for (var c = 1; c < 4; c++) {
    let entry = Entry(keys[c], places[c]);
    if (is_before(entry, first)) {
      first = entry;
    }
  }
  return first;
}

var<workgroup> found_by: array<Entry, LANES>;
var<workgroup> chosen: array<u32, K>;

@compute @workgroup_size(LANES)
fn row_top_k(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let from_above = min(params.largest, params.blocks);
  let from_below = min(params.smallest, params.blocks);
  for (var i = group.x; i < 2u * params.rows; i += groups.x) {
    let row = i / 2u;
    let is_low = i % 2u == 1u;
    let count = select(from_above, from_below, is_low);
    let span = span_of(row);
    let first_end = (select(0u, params.rows, is_low) + row) * params.blocks;
    var last = Entry(BEST, 0u);
    for (var j = 0u; j < count; j++) {
      var next = Entry(WORST, ABSENT);
      for (var b = lane; b < params.blocks; b += LANES) {
        let end = ends[first_end + b];
        if (is_before(last, end) && is_before(end, next)) {
          next = end;
        }
      }
      found_by[lane] = next;
      workgroupBarrier();
      next = found_by[0];
      for (var other = 1u; other < LANES; other++) {
        let end = found_by[other];
        if (is_before(end, next)) {
          next = end;
        }
      }
      workgroupBarrier();
      last = next;
      if (lane == 0u) {
        chosen[j] = (last.place + span.before) / 4u % params.blocks;
      }
    }
    workgroupBarrier();

    let record = 1u + params.quads;
    let first_out = (row * (from_above + from_below) + select(0u, from_above, is_low)) * record;
    for (var k = lane; k < count * record; k += LANES) {
      let block = chosen[k / record];
      let q = block + (max(k % record, 1u) - 1u) * params.blocks;
      // A block may be a quad shorter: the host leaves out what is beyond the row.
      let quad = x[span.first + min(q, span.count - 1u)];
      out[first_out + k] = select(quad, vec4u(block), k % record == 0u);
    }
    workgroupBarrier();
  }
}
